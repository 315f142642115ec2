# Pensieve on an NVIDIA GPU, from a clone. The host needs a driver for CUDA 13 and the NVIDIA Container Toolkit; CUDA's libraries
# come with MLX, so that the base image needs none. The first start compiles kernels for minutes and keeps them in /data.
#     docker build -f packaging/docker/cuda.Dockerfile -t pensieve-cuda .
#     docker run --gpus all -p 127.0.0.1:8765:8765 -e PENSIEVE_API_KEY=any -v pensieve:/data pensieve-cuda
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
RUN pip install --no-cache-dir --find-links /wheels 'pensieve-server[cuda13]' \
    && useradd --create-home --uid 1000 pensieve \
    && install --directory --owner pensieve /data
USER 1000
# Models, conversions and stored prompts outlive the container. A server that is not on a loopback address needs a key.
ENV PENSIEVE_HOME=/data/pensieve \
    HF_HOME=/data/huggingface \
    PENSIEVE_HOST=0.0.0.0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
EXPOSE 8765
HEALTHCHECK --start-period=15m CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/health')"]
ENTRYPOINT ["pensieve"]
CMD ["serve"]
