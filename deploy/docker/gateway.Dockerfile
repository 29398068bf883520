# The gateway: SIP, Twilio and browser doors. No torch, no model, no voice.
#   docker build -f deploy/docker/gateway.Dockerfile -t twowire-gateway .
ARG PYTHON_IMAGE=python:3.13.9-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wire wire
COPY gateway gateway
COPY model_worker model_worker
COPY twowire twowire
RUN python -m venv /opt/twowire && /opt/twowire/bin/pip install --no-cache-dir '.[webrtc,echo]'

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin twowire
COPY --from=build /opt/twowire /opt/twowire
ENV PATH=/opt/twowire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TWOWIRE_HOST=0.0.0.0 \
    TWOWIRE_PORT=8080 \
    TWOWIRE_LOG_FORMAT=json
USER 10001:10001
EXPOSE 8080/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
# SIGTERM drains: give the container as long to stop as the longest call may take (TWOWIRE_DRAIN_LIMIT_S).
STOPSIGNAL SIGTERM
ENTRYPOINT ["twowire"]
CMD ["serve"]
