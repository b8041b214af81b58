# mien serve in a container: no root, nothing kept, and nothing asked of a network once it runs.
# docs/how-to/server.md has the lines that build and start it; .ci/container.py does both where Docker is.
FROM python:3.13-slim AS build
WORKDIR /opt/sources
COPY . .
RUN python -m venv /opt/mien && /opt/mien/bin/pip install --no-cache-dir ".[serve]"

FROM python:3.13-slim
COPY --from=build /opt/mien /opt/mien
ENV PATH=/opt/mien/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# A number: it holds where names of users are not known.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["mien"]
CMD ["serve", "--host", "0.0.0.0"]
