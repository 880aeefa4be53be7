"""Stack frames and raised errors in the languages that services and tests are written in."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.analysis.frames import is_library, own_frame, raised, read_frames
from heisenberg.model.facts import Frame

PYTHON = """Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/flask/app.py", line 1463, in wsgi_app
    response = self.full_dispatch_request()
  File "/srv/shop/orders.py", line 41, in total
    return sum(i.price for i in items)
  File "/usr/lib/python3.11/decimal.py", line 12, in quantize
    raise InvalidOperation
decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]"""
CHAINED = """Traceback (most recent call last):
  File "/srv/db.py", line 9, in get
    return rows[0]
IndexError: list index out of range

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/web.py", line 20, in view
    raise NotThere(key)
shop.errors.OrderNotFound: order 7"""
JAVA = """java.lang.IllegalStateException: cannot pay
\tat org.springframework.web.Dispatcher.doDispatch(Dispatcher.java:1089)
\tat com.acme.Orders.pay(Orders.java:31)
Caused by: java.lang.NullPointerException: Cannot invoke "Card.number()"
\tat com.acme.Cards.find(Cards.java:12)
\t... 2 more"""
NODE = """TypeError: Cannot read properties of undefined (reading 'price')
    at /srv/shop/node_modules/lib/index.js:3:9
    at total (/srv/shop/src/cart.js:14:22)
    at async handler (file:///srv/shop/src/app.mjs:8:5)"""
DOTNET = """System.InvalidOperationException: Sequence contains no elements
   at System.Linq.ThrowHelper.ThrowNoElements()
   at Acme.Orders.First(Int32 id) in /src/Orders.cs:line 22
   at Acme.Api.Get() in C:\\src\\Api.cs:line 9"""
GO = """panic: runtime error: index out of range [3] with length 3

goroutine 18 [running]:
main.total(0x3)
\t/srv/shop/cart.go:21 +0x1d
main.main()
\t/srv/shop/main.go:9 +0x20"""
RUBY = """NoMethodError: undefined method `price' for nil
/srv/shop/cart.rb:7:in `total'
\tfrom /srv/shop/gems/rack-3.0/lib/rack.rb:30:in `call'"""
RSPEC = """Failure/Error: expect(total).to eq(3)
# ./spec/cart_spec.rb:9:in `block (2 levels) in <top (required)>'"""
PHP = """PHP Fatal error:  Uncaught TypeError: total(): Argument #1
#0 /srv/shop/cart.php(12): total(NULL)
#1 /srv/shop/vendor/x.php(3): {main}"""
PYTEST = """    def test_total():
>       assert total() == 3
E       assert 4 == 3

tests/test_cart.py:8: AssertionError"""

INNERMOST = {
    "python": (PYTHON, Frame("/srv/shop/orders.py", 41, "total"), 3),
    "chained": (CHAINED, Frame("/srv/web.py", 20, "view"), 2),
    "java": (JAVA, Frame("Orders.java", 31, "com.acme.Orders.pay"), 3),
    "node": (NODE, Frame("/srv/shop/src/cart.js", 14, "total"), 3),
    "dotnet": (DOTNET, Frame("/src/Orders.cs", 22, "Acme.Orders.First(Int32 id)"), 2),
    "go": (GO, Frame("/srv/shop/cart.go", 21), 2),
    "ruby": (RUBY, Frame("/srv/shop/cart.rb", 7, "total"), 2),
    "rspec": (RSPEC, Frame("./spec/cart_spec.rb", 9, "block (2 levels) in <top (required)>"), 1),
    "php": (PHP, Frame("/srv/shop/cart.php", 12, "total(NULL)"), 2),
    "pytest": (PYTEST, Frame("tests/test_cart.py", 8, "AssertionError"), 1),
}
RAISED = {
    "python": (PYTHON, "decimal.InvalidOperation", "[<class 'decimal.ConversionSyntax'>]"),
    "chained": (CHAINED, "shop.errors.OrderNotFound", "order 7"),
    "java": (JAVA, "java.lang.NullPointerException", 'Cannot invoke "Card.number()"'),
    "node": (NODE, "TypeError", "Cannot read properties of undefined (reading 'price')"),
    "dotnet": (DOTNET, "System.InvalidOperationException", "Sequence contains no elements"),
    "go": (GO, "panic", "runtime error: index out of range [3] with length 3"),
    "ruby": (RUBY, "NoMethodError", "undefined method `price' for nil"),
}


@pytest.mark.parametrize("language", INNERMOST)
def test_finds_the_project_s_own_frame(language: str) -> None:
    """The innermost frame that is not a library's is the place to look at."""
    text, expected, count = INNERMOST[language]
    frames = read_frames(text)

    assert expected == own_frame(frames)
    assert count == len(frames)


@pytest.mark.parametrize("language", RAISED)
def test_finds_what_was_raised(language: str) -> None:
    """The error that ended the stack is read, and its line stands in the text."""
    text, kind, message = RAISED[language]
    found = raised(text)

    assert found is not None
    assert (kind, message) == found[:2]
    assert found[2] in text


def test_a_stack_of_libraries_alone_has_its_innermost_frame() -> None:
    """When no frame is the project's own, the innermost is better than none."""
    frames = (Frame("/usr/lib/python3.11/site-packages/a.py", 1), Frame("/x/node_modules/b.js", 2))

    assert all(is_library(frame) for frame in frames)
    assert frames[0] == own_frame(frames)
    assert own_frame(()) is None


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    """Any text is read without an error, and what was raised stands on one line of it."""
    found = raised(text)

    assert len(read_frames(text)) <= 60
    assert found is None or found[2] in text


@pytest.mark.parametrize(
    "unit",
    [
        " ", "\n", "\t", " \n", "a", "a.", "a ", "at ", "at a (", "at a in ", "  at a (a:", "#0 ", "_", "$.",
        'File "', 'File "a', "/a", "\t/a.go:", "a.rb:", "a.rb:1:in `", "a.py:", "E ", "E\n", "Caused by: ",
        "Error", "Aa: ", "a.A", "panic: ", "    at a\n", "Traceback (most recent call last)\n",
    ],
)  # fmt: skip
def test_no_stack_takes_long(unit: str) -> None:
    """A stack of 50,000 characters that repeats any piece is read within a fraction of a second."""
    text = (unit * 50_000)[:50_000]
    started = time.process_time()
    read_frames(text)
    raised(text)
    raised(f"Traceback (most recent call last):\n{text}")
    elapsed_s = time.process_time() - started

    assert elapsed_s < 0.5
