# Pensieve on a CPU, from a clone:
#     docker build -f packaging/docker/cpu.Dockerfile -t pensieve .
#     docker run -p 127.0.0.1:8765:8765 -e PENSIEVE_API_KEY=any -v pensieve:/data pensieve
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY pensieve pensieve
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
COPY --from=wheel /wheels /wheels
# The wheel is that of the clone, whatever its version.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --find-links /wheels 'pensieve-server[cpu]' \
    && useradd --create-home --uid 1000 pensieve \
    && install --directory --owner pensieve /data
USER 1000
# Models, conversions and stored prompts outlive the container. A server that is not on a loopback address needs a key.
ENV PENSIEVE_HOME=/data/pensieve \
    HF_HOME=/data/huggingface \
    PENSIEVE_HOST=0.0.0.0
VOLUME /data
EXPOSE 8765
HEALTHCHECK --start-period=15m CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/health')"]
ENTRYPOINT ["pensieve"]
CMD ["serve"]
