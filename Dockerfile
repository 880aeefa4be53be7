# The service in a container. Build: docker build -t heisenberg .
# The tag gets Debian's and Python's security fixes; all else is pinned in requirements.lock.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN ["python", "-m", "venv", "/opt/heisenberg"]
COPY requirements.lock ./
RUN ["/opt/heisenberg/bin/pip", "install", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY src src
RUN ["python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "/wheels", "."]
RUN ["/opt/heisenberg/bin/pip", "install", "--no-deps", "--no-index", "--find-links", "/wheels", "heisenberg"]

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Heisenberg" \
      org.opencontainers.image.description="What broke, whose is it, is it new, and how do you know." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# A number, so that Kubernetes can see that it is not root; the folder's owner is the volume's.
RUN ["install", "--directory", "--owner=10001", "--group=10001", "--mode=0700", "/data"]
COPY --from=build /opt/heisenberg /opt/heisenberg
ENV PATH=/opt/heisenberg/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    HEISENBERG_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client, because urllib would ask a proxy of the environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
CMD ["heisenberg", "serve", "--host", "0.0.0.0", "--port", "8000"]
