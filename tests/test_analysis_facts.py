"""What is read out of failures in the shapes of the frameworks that print them."""

from __future__ import annotations

import time
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_failure, facts_of
from heisenberg.analysis.facts import read_facts
from heisenberg.model.diagnosis import Mechanism, Symptom
from heisenberg.model.run import Status

PLAYWRIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "toHaveText": (
        """
        Error: expect(locator).toHaveText(expected) failed

        Locator:  getByTestId('cart-total')
        Expected: "48.00 EUR"
        Received: "40.00 EUR"
        Timeout:  5000ms

        Call log:
          - Expect "toHaveText" with timeout 5000ms
          - waiting for getByTestId('cart-total')
            9 × locator resolved to <output data-testid="cart-total">40.00 EUR</output>
              - unexpected value "40.00 EUR"


          21 |   await page.goto('/cart');
          22 |   const total = page.getByTestId('cart-total');
        > 23 |   await expect(total).toHaveText('48.00 EUR');
             |                       ^
          24 | });
            at /builds/acme/e2e/cart.spec.ts:23:23
        """,
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "toHaveText",
            "locator": "getByTestId('cart-total')",
            "expected": '"48.00 EUR"',
            "received": '"40.00 EUR"',
            "timeout_ms": 5000.0,
            "is_polling": True,
            "not_found": False,
            "is_test_timeout": False,
            "code": "await expect(total).toHaveText('48.00 EUR');",
            "code_before": (
                "await page.goto('/cart');",
                "const total = page.getByTestId('cart-total');",
            ),
        },
    ),
    "toBeVisible": (
        """
        Error: expect(locator).toBeVisible() failed

        Locator: getByRole('alert')
        Expected: visible
        Timeout: 5000ms
        Error: element(s) not found

        Call log:
          - Expect "toBeVisible" with timeout 5000ms
          - waiting for getByRole('alert')
        """,
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "toBeVisible",
            "locator": "getByRole('alert')",
            "expected": "visible",
            "not_found": True,
            "timeout_ms": 5000.0,
        },
    ),
    "toBeVisible before 1.50": (
        """
        Error: Timed out 5000ms waiting for expect(locator).toBeVisible()

        Locator: locator('.toast')
        Expected: visible
        Received: <element(s) not found>
        Call log:
          - expect.toBeVisible with timeout 5000ms
          - waiting for locator('.toast')
        """,
        {
            "matcher": "toBeVisible",
            "locator": "locator('.toast')",
            "not_found": True,
            "timeout_ms": 5000.0,
        },
    ),
    "hidden": (
        """
        Error: expect(locator).toBeVisible() failed

        Locator:  locator('#menu')
        Expected: visible
        Received: hidden
        Timeout:  5000ms

        Call log:
          - Expect "toBeVisible" with timeout 5000ms
          - waiting for locator('#menu')
            9 × locator resolved to <nav id="menu" hidden></nav>
              - unexpected value "hidden"
        """,
        {"received": "hidden", "has_received": True, "not_found": False, "is_polling": True},
    ),
    "click": (
        """
        TimeoutError: locator.click: Timeout 10000ms exceeded.
        Call log:
          - waiting for getByRole('button', { name: 'Pay' })


          at /builds/acme/e2e/pay.spec.ts:12:50
        """,
        {
            "symptom": Symptom.TIMEOUT,
            "error_type": "TimeoutError",
            "action": "locator.click",
            "locator": "getByRole('button', { name: 'Pay' })",
            "timeout_ms": 10000.0,
            "not_found": True,
        },
    ),
    "click on a disabled button": (
        """
        TimeoutError: locator.click: Timeout 10000ms exceeded.
        Call log:
          - waiting for getByRole('button', { name: 'Pay' })
            - locator resolved to <button disabled>Pay</button>
          - attempting click action
            2 × waiting for element to be visible, enabled and stable
              - element is not enabled
            - retrying click action
        """,
        {
            "symptom": Symptom.TIMEOUT,
            "action": "locator.click",
            "locator": "getByRole('button', { name: 'Pay' })",
            "not_found": False,
        },
    ),
    "goto refused": (
        """
        Error: page.goto: net::ERR_CONNECTION_REFUSED at http://localhost:4173/login
        Call log:
          - navigating to "http://localhost:4173/login", waiting until "load"
        """,
        {
            "symptom": Symptom.NETWORK,
            "action": "page.goto",
            "network_error": "ERR_CONNECTION_REFUSED",
            "url": "http://localhost:4173/login",
            "trouble": Mechanism.DEPENDENCY_DOWN,
        },
    ),
    "goto unresolved": (
        "Error: page.goto: net::ERR_NAME_NOT_RESOLVED at https://shop.acme-staging.dev/",
        {
            "network_error": "ERR_NAME_NOT_RESOLVED",
            "url": "https://shop.acme-staging.dev/",
            "trouble": Mechanism.DNS,
        },
    ),
    "goto in Firefox": (
        (
            "Error: page.goto: NS_ERROR_CONNECTION_REFUSED\nCall log:\n"
            '  - navigating to "http://localhost:4173/", waiting until "load"\n'
        ),
        {
            "symptom": Symptom.NETWORK,
            "network_error": "CONNECTION_REFUSED",
            "url": "http://localhost:4173/",
        },
    ),
    "request refused": (
        (
            "Error: apiRequestContext.post: connect ECONNREFUSED ::1:8080\nCall log:\n"
            "  - → POST http://localhost:8080/api/login\n"
        ),
        {
            "symptom": Symptom.NETWORK,
            "action": "apiRequestContext.post",
            "network_error": "ECONNREFUSED",
            "url": "http://localhost:8080/api/login",
        },
    ),
    "test time-out": (
        "Test timeout of 30000ms exceeded.",
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "test time-out in an action": (
        """
        Test timeout of 30000ms exceeded.

        Error: locator.fill: Test timeout of 30000ms exceeded.
        Call log:
          - waiting for getByLabel('Email')
        """,
        {
            "symptom": Symptom.TIMEOUT,
            "action": "locator.fill",
            "is_test_timeout": True,
            "locator": "getByLabel('Email')",
        },
    ),
    "strict mode": (
        """
        Error: locator.click: Error: strict mode violation: getByText('Save') resolved to 2 elements:
            1) <button>Save</button> aka getByRole('button', { name: 'Save' })
            2) <span>Saved</span> aka getByText('Saved')

        Call log:
          - waiting for getByText('Save')
        """,
        {"action": "locator.click", "locator": "getByText('Save')", "not_found": False},
    ),
    "closed": (
        "Error: page.click: Target page, context or browser has been closed",
        {"symptom": Symptom.CRASH, "action": "page.click"},
    ),
    "hook": (
        '"beforeAll" hook timeout of 30000ms exceeded.',
        {"symptom": Symptom.SETUP, "is_test_timeout": True},
    ),
    "status": (
        """
        Error: expect(received).toBe(expected) // Object.is equality

        Expected: 201
        Received: 503

           8 |   const response = await request.post('/api/orders', { data: order });
        >  9 |   expect(response.status()).toBe(201);
             |                             ^
            at /builds/acme/e2e/api.spec.ts:9:29
        """,
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "toBe",
            "expected": "201",
            "received": "503",
            "http_status": 503,
            "code": "expect(response.status()).toBe(201);",
        },
    ),
}

JAVASCRIPT: dict[str, tuple[str, dict[str, Any]]] = {
    "Jest": (
        """
        Error: expect(received).toEqual(expected) // deep equality

        Expected: {"total": 12}
        Received: {"total": 10}
            at Object.<anonymous> (/app/src/__tests__/cart.test.js:14:23)
            at Promise.then.completed (/app/node_modules/jest-circus/build/utils.js:298:28)
        """,
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "toEqual",
            "expected": '{"total": 12}',
            "received": '{"total": 10}',
        },
    ),
    "Jest time-out": (
        (
            'Error: thrown: "Exceeded timeout of 5000 ms for a test.\nAdd a timeout value to this test '
            'to increase the timeout, if this is a long-running test."'
        ),
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "Vitest": (
        """
        AssertionError: expected 3 to be 4 // Object.is equality

        - Expected
        + Received

        - 4
        + 3

         ❯ src/sum.test.ts:6:20
        """,
        {
            "symptom": Symptom.ASSERTION,
            "error_type": "AssertionError",
            "expected": "4",
            "received": "3",
        },
    ),
    "Vitest time-out": (
        "Error: Test timed out in 5000ms.\nIf this is a long-running test, pass a timeout value",
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "Cypress": (
        (
            "AssertionError: Timed out retrying after 4000ms: Expected to find element: "
            "`[data-cy=total]`, but never found it.\n"
            "    at Context.eval (webpack:///./cypress/e2e/cart.cy.js:9:31)"
        ),
        {
            "symptom": Symptom.ASSERTION,
            "locator": "[data-cy=total]",
            "not_found": True,
            "timeout_ms": 4000.0,
            "is_polling": True,
        },
    ),
    "Cypress text": (
        (
            "AssertionError: Timed out retrying after 4000ms: expected '<h1>' to have text 'Cart', "
            "but the text was 'Basket'"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "'Cart'", "received": "'Basket'"},
    ),
    "Mocha and chai": (
        """
        AssertionError: expected 'open' to equal 'closed'
            at Context.<anonymous> (test/door.test.js:11:24)
            at process.processImmediate (node:internal/timers:478:21)

        + expected - actual

        -open
        +closed
        """,
        {
            "symptom": Symptom.ASSERTION,
            "error_type": "AssertionError",
            "expected": "'closed'",
            "received": "'open'",
        },
    ),
    "Mocha time-out": (
        (
            'Error: Timeout of 2000ms exceeded. For async tests and hooks, ensure "done()" is called; '
            "if returning a Promise, ensure it resolves. (/app/test/door.test.js)"
        ),
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "Node assert": (
        """
        AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

        1 !== 2

            at TestContext.<anonymous> (file:///app/test/a.test.mjs:5:10)
        """,
        {"symptom": Symptom.ASSERTION, "error_type": "AssertionError"},
    ),
    "Selenium": (
        (
            "NoSuchElementError: no such element: Unable to locate element: "
            '{"method":"css selector","selector":"#pay"}\n  (Session info: chrome=131.0.6778.85)'
        ),
        {"not_found": True, "locator": '{"method":"css selector","selector":"#pay"}'},
    ),
}

PYTHON: dict[str, tuple[str, dict[str, Any]]] = {
    "pytest": (
        """
            def test_total(cart):
                cart.add(3)
        >       assert cart.total() == 30
        E       assert 33 == 30
        E        +  where 33 = <bound method Cart.total of <shop.Cart object at 0x7f1c>>()

        tests/test_cart.py:14: AssertionError
        """,
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "assert",
            "expected": "30",
            "received": "33",
            "has_received": True,
            "code": "assert cart.total() == 30",
            "code_before": ("def test_total(cart):", "cart.add(3)"),
        },
    ),
    "pytest message": (
        "AssertionError: assert 'draft' == 'sent'\n\n  - sent\n  + draft",
        {"symptom": Symptom.ASSERTION, "expected": "'sent'", "received": "'draft'"},
    ),
    "pytest status": (
        """
            def test_orders(client):
                response = client.get("/orders")
        >       assert response.status_code == 200
        E       assert 500 == 200
        E        +  where 500 = <Response [500 Internal Server Error]>.status_code

        tests/test_orders.py:8: AssertionError
        """,
        {"symptom": Symptom.ASSERTION, "http_status": 500},
    ),
    "pytest fixture": (
        """
        file /app/tests/test_a.py, line 3
          def test_a(databse):
        E       fixture 'databse' not found
        >       available fixtures: cache, capfd, database

        /app/tests/test_a.py:3
        """,
        {"symptom": Symptom.SETUP},
    ),
    "pytest-timeout": (
        "Failed: Timeout (>10.0s) from pytest-timeout.",
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "requests": (
        (
            "E       requests.exceptions.ConnectionError: HTTPConnectionPool(host='pay.local', port=8081): "
            "Max retries exceeded with url: /charge (Caused by NewConnectionError('<urllib3.connection."
            "HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection "
            "refused'))"
        ),
        {
            "symptom": Symptom.NETWORK,
            "error_type": "requests.exceptions.ConnectionError",
            "network_error": "Connection refused",
            "url": "http://pay.local:8081/charge",
            "trouble": Mechanism.DEPENDENCY_DOWN,
        },
    ),
    "requests status": (
        "requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: http://api.local/users",
        {"http_status": 502, "url": "http://api.local/users"},
    ),
    "httpx": (
        "httpx.ConnectError: [Errno -2] Name or service not known",
        {
            "symptom": Symptom.NETWORK,
            "network_error": "Name or service not known",
            "trouble": Mechanism.DNS,
        },
    ),
    "psycopg": (
        (
            'psycopg.errors.UniqueViolation: duplicate key value violates unique constraint "users_email"'
            "\nDETAIL:  Key (email)=(a@b.example) already exists."
        ),
        {"trouble": Mechanism.SHARED_STATE},
    ),
    "psycopg connection": (
        (
            'psycopg.OperationalError: connection to server at "127.0.0.1", port 5432 failed: FATAL:  '
            "sorry, too many clients already"
        ),
        {"trouble": Mechanism.DATABASE_CONNECTION},
    ),
    "unittest": (
        """
        Traceback (most recent call last):
          File "/app/tests/test_sum.py", line 9, in test_sum
            self.assertEqual(add(2, 2), 5)
        AssertionError: 4 != 5
        """,
        {
            "symptom": Symptom.ASSERTION,
            "error_type": "AssertionError",
            "matcher": "assertEqual",
            "expected": "5",
            "received": "4",
        },
    ),
    "plain error": (
        """
        Traceback (most recent call last):
          File "/app/tests/test_sum.py", line 9, in test_sum
            total = order["totl"]
        KeyError: 'totl'
        """,
        {"error_type": "KeyError", "headline": "'totl'"},
    ),
}

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "JUnit 4": (
        (
            "org.junit.ComparisonFailure: expected:<[paid]> but was:<[open]>\n"
            "\tat org.junit.Assert.assertEquals(Assert.java:117)\n"
            "\tat com.acme.OrderTest.pays(OrderTest.java:31)"
        ),
        {
            "symptom": Symptom.ASSERTION,
            "error_type": "org.junit.ComparisonFailure",
            "expected": "[paid]",
            "received": "[open]",
        },
    ),
    "JUnit 5": (
        (
            "org.opentest4j.AssertionFailedError: expected: <3> but was: <2>\n"
            "\tat org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)\n"
            "\tat com.acme.CartTest.counts(CartTest.java:22)"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "3", "received": "2"},
    ),
    "AssertJ": (
        (
            'org.opentest4j.AssertionFailedError: \nexpected: "paid"\n but was: "open"\n'
            "\tat com.acme.OrderTest.pays(OrderTest.java:31)"
        ),
        {"symptom": Symptom.ASSERTION, "expected": '"paid"', "received": '"open"'},
    ),
    "Hamcrest": (
        (
            "java.lang.AssertionError: \nExpected: is <200>\n     but: was <404>\n"
            "\tat org.hamcrest.MatcherAssert.assertThat(MatcherAssert.java:20)"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "is <200>", "received": "<404>"},
    ),
    "NUnit": (
        (
            "  Expected: 4\n  But was:  5\n   at Acme.Tests.SumTests.Adds() in "
            "/src/SumTests.cs:line 18"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
    "xUnit.net": (
        (
            "Assert.Equal() Failure: Values differ\nExpected: 4\nActual:   5\n"
            "   at Acme.Tests.SumTests.Adds() in /src/SumTests.cs:line 18"
        ),
        {
            "symptom": Symptom.ASSERTION,
            "matcher": "Assert.Equal",
            "expected": "4",
            "received": "5",
        },
    ),
    "RSpec": (
        (
            "Failure/Error: expect(cart.total).to eq(30)\n\n  expected: 30\n       got: 33\n\n"
            "  (compared using ==)\n# ./spec/cart_spec.rb:9:in `block (2 levels) in <top (required)>'"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "30", "received": "33"},
    ),
    "minitest": (
        "Expected: 30\n  Actual: 33\n    test/cart_test.rb:12:in `test_total'",
        {"symptom": Symptom.ASSERTION, "expected": "30", "received": "33"},
    ),
    "PHPUnit": (
        "Failed asserting that 5 matches expected 4.\n\n/app/tests/SumTest.php:14",
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
    "PHPUnit texts": (
        (
            "Failed asserting that two strings are identical.\n--- Expected\n+++ Actual\n@@ @@\n"
            "-'paid'\n+'open'"
        ),
        {"symptom": Symptom.ASSERTION},
    ),
    "Go": (
        "    calc_test.go:10: Add(2, 2): got 5, want 4",
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
    "testify": (
        (
            "\tError Trace:\t/app/calc_test.go:12\n\tError:      \tNot equal: \n"
            "\t            \texpected: 4\n\t            \tactual  : 5\n\tTest:       \tTestAdd"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
    "Go time-out": (
        "panic: test timed out after 30s\nrunning tests:\n\tTestSlow (30s)\n\ngoroutine 17 [running]:",
        {"symptom": Symptom.TIMEOUT, "is_test_timeout": True},
    ),
    "googletest": (
        (
            "calc_test.cc:7: Failure\nExpected equality of these values:\n  Add(2, 2)\n    Which is: 5\n"
            "  4"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
    "Rust": (
        (
            "thread 'tests::adds' panicked at src/lib.rs:12:9:\nassertion `left == right` failed\n"
            "  left: 5\n right: 4"
        ),
        {"symptom": Symptom.ASSERTION, "expected": "4", "received": "5"},
    ),
}

CASES = {**PLAYWRIGHT, **JAVASCRIPT, **PYTHON, **OTHERS}


@pytest.mark.parametrize("name", CASES)
def test_reads_what_a_framework_prints(name: str) -> None:
    """Each framework's failure yields what it says in that framework's own words."""
    text, expected = CASES[name]

    facts = facts_of(dedent(text).strip("\n"))

    assert expected == {key: getattr(facts, key) for key in expected}


@pytest.mark.parametrize("file", ["login.page.ts", "cart.cy.js", "src/request.js", "api/page.ts"])
def test_a_file_name_is_no_action(file: str) -> None:
    """A frame in a file that is called like an object of the test library is no call of it."""
    facts = facts_of(f"Error: expect(received).toBe(expected)\n    at /e2e/{file}:12:7")

    assert facts.action == ""


def test_the_status_of_the_attempt_tells_a_timeout() -> None:
    """An attempt that the runner timed out is a test time-out, whatever its text says."""
    facts = facts_of("Error: gave up", Status.TIMED_OUT)

    assert (True, Symptom.TIMEOUT) == (facts.is_test_timeout, facts.symptom)


def test_a_type_without_a_message_is_kept() -> None:
    """The class that a format has a field for is taken when the text names none."""
    facts = facts_of("it went wrong", type="com.acme.OddError")

    assert ("com.acme.OddError", "it went wrong") == (facts.error_type, facts.headline)


def test_the_snippet_is_read_for_the_failing_line() -> None:
    """A source excerpt in its own field is read like one in the message."""
    snippet = "  3 |   await page.waitForTimeout(500);\n> 4 |   expect(await n()).toBe(2);\n  5 | }"
    facts = facts_of("Error: expect(received).toBe(expected)", snippet=snippet)

    assert "expect(await n()).toBe(2);" == facts.code
    assert ("await page.waitForTimeout(500);",) == facts.code_before


@pytest.mark.parametrize(
    "text",
    [
        "expected 200 rows, the rest is fine",
        "the request took 404 ms",
        "status: 200 OK",
        "retried 500 times",
    ],
)
def test_a_number_is_no_status(text: str) -> None:
    """A number that is not told as a status of a request is none, and neither is a good one."""
    assert facts_of(f"Error: {text}").http_status is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("at http://[::1]:8080/login now", "http://[::1]:8080/login"),
        ("see (https://shop.example/a?b=1).", "https://shop.example/a?b=1"),
        ("at http://[::1", ""),
        ("at http://[zz]:80/", ""),
        ("at http://shop\uff0fexample/", ""),
        ("at http://", ""),
    ],
)
def test_a_url_is_one_that_can_be_taken_apart(text: str, url: str) -> None:
    """An address in brackets is part of a URL; what only begins like a URL is none."""
    assert url == facts_of(f"Error: page.goto: net::ERR_FAILED {text}").url


WORDS = (
    "Error: ", "expect(", "locator.click: ", "Expected: ", "Received: ", "Timeout: 5000ms",
    "net::ERR_", "https://", "> 3 | ", "E   ", "at ", ":12:3", "assert ", " == ", "\n", "\r\n", "\t",
    "- waiting for ", "status ", "500", "HTTP/", "\x00", "\ud800", "\u2028", "but was: <", "fixture '",
    "after 9", " s", "Timeout ", "9" * 400, "(host='", "',port=", ".", "٣٣", "²",
)  # fmt: skip


@given(st.text() | st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text: str) -> None:
    """No text makes reading a failure raise, and its headline is one line."""
    facts = facts_of(text or " ", stack=text[::-1])

    assert "\n" not in facts.headline


HOSTILE = (
    " ", "\t", "\n", " \n", "a", "a.", "a:", "0", "0 ", "0.", "_", "'", '"', "<", "(", "()", "-", "| ",
    "> ", "E ", "E\n", "at ", "at a in ", "at a (", "expect(", "expect((", "Expected ", "expected a:",
    "expected: <", "expected:<>", "expected '", "expected ' to be ", "got ", "got '", "Locator: ",
    "- waiting for ", "NoSuchElement", "NoSuchElement:", "Unable to find an element", "0 ×", "× ",
    "beforeAll ", "fixture ", "worker ", "https://", "ConnectionPool(host='", "status ", "a" * 60 + " ",
    "Failed asserting that ", "Failed asserting that a equals b", "left: ", "left: \nright: ",
    "equality of these values:\n", "equality of these values:\na\n Which is: ", "assert", "net::ERR_",
    " to have a '", " to have a 'a', but the a was '", "hook timeout of 0", "Test timeout of 0.",
    "connect", "redis.", "valkey", "hostname ", "a@", "is not configured", "/a.go:", "a.rb:0:in `",
    "#0 a.php", 'File "', 'File "a", line 0, in ',
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_takes_long(unit: str) -> None:
    """A failure of 20,000 characters that repeats any piece is read within a fraction of a second."""
    started = time.process_time()
    read_facts(a_failure((unit * 20_000)[:20_000]))
    elapsed_s = time.process_time() - started

    assert elapsed_s < 0.5
