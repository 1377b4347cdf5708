"""What a deployment for NVIDIA's container needs beside the model repository."""

from __future__ import annotations

from importlib.metadata import requires

from ...export.bundle.manifest import Manifest
from ...export.bundle.models import GALLERY_VARIABLE

# Releases from 24.11 on bring Python 3.12 and read the same repository; from 25.01 on with numpy 2 as well.
RELEASE = "25.09"
# The container brings its own server and numpy, and the other two only serve to embed one.
_NOT_IN_CONTAINER = ("nvidia-pytriton", "numpy")


def container_files(manifest: Manifest, *, engines: bool = False) -> dict[str, str]:
    """Dockerfile, requirements and the scripts that start the server, by file name.

    Args:
        engines: serve TensorRT engines by default.
    """
    return {
        "Dockerfile": _DOCKERFILE.format(
            release=RELEASE,
            gallery=GALLERY_VARIABLE,
            engines="COPY engines /opt/framesift/engines\n" * engines,
        ),
        "requirements.txt": "\n".join(_requirements()) + "\n",
        "start.sh": _START.format(config="tensorrt" if engines else ""),
        "run.sh": _RUN.format(system=manifest.system),
    }


def _requirements() -> list[str]:
    found = []
    for line in requires("framesift") or []:
        requirement, _, marker = line.partition(";")
        if 'extra == "server"' in marker and not requirement.strip().startswith(_NOT_IN_CONTAINER):
            found.append(requirement.strip())
    return sorted(found)


_DOCKERFILE = """\
ARG RELEASE={release}
FROM nvcr.io/nvidia/tritonserver:${{RELEASE}}-py3
COPY requirements.txt /opt/framesift/
RUN pip install --no-cache-dir -r /opt/framesift/requirements.txt
COPY python /opt/framesift/python
COPY model_repository /opt/framesift/model_repository
{engines}COPY start.sh /opt/framesift/
ENV PYTHONPATH=/opt/framesift/python \\
    PYTHONDONTWRITEBYTECODE=1 \\
    {gallery}=/gallery
VOLUME /gallery /engines
EXPOSE 8001 8002
CMD ["/opt/framesift/start.sh"]
"""

_START = """\
#!/usr/bin/env bash
# Runs in the container. FRAMESIFT_CONFIG chooses how the graphs run: "onnxruntime" (CUDA where there is a GPU),
# "accelerated" (ONNX Runtime's TensorRT provider, whose engines are kept in /engines) or "tensorrt" (engines that were
# deployed).
set -euo pipefail
config=${{FRAMESIFT_CONFIG:-{config}}}
[ "$config" != onnxruntime ] || config=
[ "$config" != tensorrt ] || python3 -m framesift.export.bundle.engines.check /opt/framesift/engines
exec tritonserver --model-repository=/opt/framesift/model_repository ${{config:+"--model-config-name=$config"}} \\
    --disable-auto-complete-config --exit-timeout-secs=10 \\
    --allow-http=false --allow-metrics=true --model-control-mode=none
"""

_RUN = """\
#!/usr/bin/env bash
# Builds the image and serves the {system} bundle; the gallery is kept in the folder given, ./gallery by default.
# Ports are published on this machine alone. Without GPUS=none all GPUs are used. FRAMESIFT_CONFIG: see start.sh.
set -euo pipefail
gallery=$(realpath -m "${{1:-gallery}}")
cd "$(dirname "$0")"
mkdir -p "$gallery"
docker build --tag framesift-{system} .
gpus=(--gpus "${{GPUS:-all}}")
[ "${{GPUS:-all}}" != none ] || gpus=()
exec docker run --rm --shm-size=1g "${{gpus[@]}}" --volume "$gallery:/gallery" --volume framesift-engines:/engines \\
    --env "FRAMESIFT_CONFIG=${{FRAMESIFT_CONFIG:-}}" --env "FRAMESIFT_VIDEO_LIMITS=${{FRAMESIFT_VIDEO_LIMITS:-}}" \\
    --publish 127.0.0.1:8001:8001 --publish 127.0.0.1:8002:8002 framesift-{system}
"""
