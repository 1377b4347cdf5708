"""What a deployment for NVIDIA's container needs beside the model repository."""

from __future__ import annotations

from importlib.resources import files

from ...export.bundle.manifest import Manifest
from .compose import compose_files
from .helm import CHART, chart_files
from .readme import readme

RELEASE = "25.09"
# For Python 3.12: see ``pinning``.
# What searches on a GPU need, and a node of a Ray cluster, stand in files of their own.
REQUIREMENTS = ("requirements.txt", "requirements-gpu.txt", "requirements-ray.txt")


def container_files(manifest: Manifest, chooser: Manifest | None = None, *, engines: bool = False) -> dict[str, str]:
    """README, Dockerfile, requirements, scripts, compose files and the Helm chart, by their paths below the deployment.

    Args:
        chooser: of the bundle that chooses candidates, if one does.
        engines: there are TensorRT engines, in a folder of that name.
    """
    tag = "-".join(each.fingerprint[:12] for each in (manifest, chooser) if each is not None)
    name = f"framesift/{manifest.system}"
    image = f"{name}:{tag}"
    return {
        "README.md": readme(image, manifest, chooser, engines=engines),
        "Dockerfile": _DOCKERFILE.format(release=RELEASE, engines=_ENGINES * engines),
        **{name: (files(__package__) / name).read_text(encoding="utf-8") for name in REQUIREMENTS},
        "start.sh": _START,
        "run.sh": _RUN.format(image=image, **(_ALONE if chooser is None else _CHOSEN)),
        **compose_files(image, chosen=chooser is not None),
        **{f"{CHART}/{path}": text for path, text in chart_files(name, tag).items()},
    }


_ENGINES = "COPY --chmod=755 engines /opt/framesift/engines\n"
_DOCKERFILE = """\
# Triton server 25.04 is the first release whose gRPC frontend survives calls that are cancelled while it answers them
# (triton-inference-server/server, pull requests 7840 and 8078), and 24.11 the first with Python 3.12, for which the
# requirements are pinned.
ARG RELEASE={release}
FROM nvcr.io/nvidia/tritonserver:${{RELEASE}}-py3

# An environment of its own: NVIDIA's packages stay as they are, and whatever framesift imports is pinned by its hash.
# --build-arg RAY=1 makes an image whose containers can be nodes of a Ray cluster, 300 MB larger.
ARG RAY=
COPY --chmod=755 requirements.txt requirements-ray.txt /opt/framesift/
RUN python3 -m venv --without-pip /opt/framesift/environment \\
 && python3 -m pip --python /opt/framesift/environment install --no-cache-dir --only-binary=:all: --require-hashes \\
    -r /opt/framesift/requirements.txt ${{RAY:+-r /opt/framesift/requirements-ray.txt}}
# What compiles the kernels that search on a GPU: a gigabyte, which GPU_SEARCH=0 leaves out. They need no torch.
ARG GPU_SEARCH=1
COPY --chmod=755 requirements-gpu.txt /opt/framesift/
RUN [ "$GPU_SEARCH" = 0 ] || python3 -m pip --python /opt/framesift/environment install --no-cache-dir \\
    --only-binary=:all: --require-hashes -r /opt/framesift/requirements-gpu.txt
COPY --chmod=755 python /opt/framesift/python
RUN /opt/framesift/environment/bin/python3 -m compileall -q /opt/framesift/python
COPY --chmod=755 model_repository /opt/framesift/model_repository
COPY --chmod=755 door /opt/framesift/door
{engines}COPY --chmod=755 start.sh index.sh /opt/framesift/

# One heap a process: with glibc's many, each burst of requests takes some more memory than the one before.
ENV PATH=/opt/framesift/environment/bin:$PATH \\
    PYTHONPATH=/opt/framesift/python \\
    PYTHONDONTWRITEBYTECODE=1 \\
    MALLOC_ARENA_MAX=1 \\
    TRITON_CACHE_DIR=/engines/kernels \\
    RAY_USAGE_STATS_ENABLED=0 \\
    RAY_worker_niceness=0 \\
    HOME=/tmp
# Whoever runs it owns the gallery. Nothing else is written but /tmp, /dev/shm, and what is compiled, in /engines.
RUN mkdir -m 1777 /gallery /shortlist /engines
VOLUME /gallery /shortlist /engines
USER 1000:1000
EXPOSE 8001
HEALTHCHECK --interval=5s --timeout=5s --start-period=10m CMD ["python3", "-P", "-m", "framesift.serving.server.probe"]
CMD ["/opt/framesift/start.sh"]
"""

_START = """\
#!/usr/bin/env bash
# Starts Triton server and the front door, and starts again whatever dies. It runs in the container, or wherever python3
# has the packages of requirements.txt. Settings are environment variables:
#   FRAMESIFT_GALLERY   the gallery's folder (/gallery); made if absent
#   FRAMESIFT_SHORTLIST_GALLERY  that of the bundle that chooses candidates (/shortlist), where the deployment has one
#   FRAMESIFT_SECRETS   a folder (/secrets) with tls.crt and tls.key, and tokens or clients.crt: who may call
#   FRAMESIFT_INSECURE  1: let everybody call, without TLS
#   FRAMESIFT_HOST      the IPv4 address to listen on (0.0.0.0), and
#   FRAMESIFT_PORT      the port (8001)
#   FRAMESIFT_CONFIG    how graphs run: onnxruntime (on a GPU where there is one), cuda (encoders on every GPU, products
#                       in float32 and warmed up), accelerated (so too with ONNX Runtime's TensorRT provider, whose
#                       engines are kept in /engines), or tensorrt (the engines deployed here). But for the first the
#                       gallery is divided among all GPUs, where its scorer has a kernel
#   FRAMESIFT_VIDEO_LIMITS  limits of videos that are changed, such as "work=120 bytes=1G"
#   FRAMESIFT_PAGE      1: show the page to browsers
#   FRAMESIFT_VIDEOS    the folder below which whoever may search may see videos
#   FRAMESIFT_NAMES     names by which browsers may ask where there are no tokens, beside the address
#   FRAMESIFT_ACCESS_LOG  the file of the access log; - is the standard output. FRAMESIFT_LOG_TEXTS=1: with the texts
#   FRAMESIFT_LOG_FORMAT  json: the log as lines of JSON, too
#   OTEL_EXPORTER_OTLP_ENDPOINT  the collector that takes traces, by OTLP over HTTP, and
#   FRAMESIFT_TRACE_RATIO  the share of requests that are traced (0.1)
#   FRAMESIFT_CLUSTER   the address of a Ray cluster, of which this container becomes a node: the gallery is in shards,
#                       which actors of that cluster search; local starts a cluster here. The image needs Ray
#   FRAMESIFT_CLUSTER_SHARDS  how many shards a gallery gets that is made
#   FRAMESIFT_SHARD_DEADLINE  for a shard's answer, in seconds (5)
#   FRAMESIFT_SHARD_REPLICAS  actors of each shard (1)
#   FRAMESIFT_SHARD_GPUS  GPUs of each actor, or a share (0)
#   FRAMESIFT_TRITON    where Triton server lies (/opt/tritonserver)
set -euo pipefail
here=$(dirname "$(realpath "$0")")
export PYTHONPATH=$here/python
serve=(python3 -P -m framesift.serving.launch "$here")
cluster=${FRAMESIFT_CLUSTER:-local}
if [ "$cluster" != local ]; then serve=(python3 -P -m framesift.serving.indexing.ray_node "$cluster" "${serve[@]}"); fi
exec "${serve[@]}"
"""

_RUN = """\
#!/usr/bin/env bash
# Builds the image and serves it:  run.sh [GALLERY [SECRETS]]
# GALLERY, ./gallery by default, is made if absent; the container runs as the user who owns it, or as 1000 where root
# made it. SECRETS is a folder with tls.crt and tls.key, and tokens or clients.crt. Without it FRAMESIFT_INSECURE=1 lets
# everybody call who reaches the port.
# Environment variables:
#   PUBLISH  address and port on this machine (127.0.0.1:8001)
#   GPUS     which GPUs, or none; by default all where there is nvidia-smi
#   VIDEOS   a folder of videos, for the page: whoever may search may see them
#   SHM      shared memory (4g): four videos of 256 MiB that arrive, and as many that are decoded
{told}#   RAY      1: build an image with Ray, for FRAMESIFT_CLUSTER=local
#   FRAMESIFT_CONFIG, FRAMESIFT_INSECURE, FRAMESIFT_VIDEO_LIMITS, FRAMESIFT_PAGE, FRAMESIFT_NAMES,
#   FRAMESIFT_ACCESS_LOG, FRAMESIFT_LOG_TEXTS, FRAMESIFT_LOG_FORMAT, OTEL_EXPORTER_OTLP_ENDPOINT,
#   FRAMESIFT_TRACE_RATIO, FRAMESIFT_CLUSTER, FRAMESIFT_CLUSTER_SHARDS, FRAMESIFT_SHARD_DEADLINE,
#   FRAMESIFT_SHARD_REPLICAS, FRAMESIFT_SHARD_GPUS: see start.sh
set -euo pipefail
image={image}
refuse() {{ echo "$1" >&2; exit 1; }}
command -v docker > /dev/null || refuse "there is no docker here: run this on a machine with Docker"
docker info > /dev/null 2>&1 || refuse "Docker's daemon does not answer: start it, or become somebody who may call it"
docker buildx version > /dev/null 2>&1 || refuse "Docker has no buildx, which builds the image: install docker-buildx"
if [ -n "${{2:-}}" ]; then
    secrets=$(realpath -e "$2") || refuse "there is no folder of secrets at $2"
elif [ "${{FRAMESIFT_INSECURE:-}}" = 1 ]; then
    secrets=
else
    refuse "who may call? Name a folder with tls.crt, tls.key and tokens, or set FRAMESIFT_INSECURE=1: everybody"
fi
gallery=$(realpath -m "${{1:-gallery}}")
{read}cd "$(dirname "$0")"
for folder in "$gallery"{made}; do
    if [ ! -d "$folder" ]; then
        mkdir -p "$folder"
        [ "$(id -u)" != 0 ] || chown 1000:1000 "$folder"
    fi
done
user=$(stat --format %u:%g "$gallery")
[ "${{user%%:*}}" != 0 ] ||
    refuse "$gallery belongs to root, as whom the server does not run: chown -R 1000:1000 $gallery, or another user"
[ -z "${{RAY:-}}" ] || image=$image-ray
docker build ${{RAY:+--build-arg RAY=1}} --tag "$image" .
if [ -z "${{GPUS:-}}" ]; then
    GPUS=$(command -v nvidia-smi > /dev/null && echo all || echo none)
    echo "GPUs: $GPUS" >&2
fi
gpus=(--gpus "$GPUS")
[ "$GPUS" != none ] || gpus=()
exec docker run --rm --name framesift --stop-timeout 30 "${{gpus[@]}}" \\
    --user "$user" --cap-drop ALL --security-opt no-new-privileges --read-only --tmpfs /tmp \\
    --shm-size "${{SHM:-4g}}" --volume "$gallery:/gallery" --volume framesift-engines:/engines \\{mounted}
    ${{secrets:+--volume "$secrets:/secrets:ro"}} \\
    ${{VIDEOS:+--volume "$(realpath "$VIDEOS"):/videos:ro" --env FRAMESIFT_VIDEOS=/videos}} \\
    --env FRAMESIFT_PAGE --env FRAMESIFT_NAMES --env FRAMESIFT_CONFIG --env FRAMESIFT_INSECURE \\
    --env FRAMESIFT_VIDEO_LIMITS --env FRAMESIFT_ACCESS_LOG --env FRAMESIFT_LOG_TEXTS --env FRAMESIFT_LOG_FORMAT \\
    --env OTEL_EXPORTER_OTLP_ENDPOINT --env FRAMESIFT_TRACE_RATIO --env FRAMESIFT_CLUSTER \\
    --env FRAMESIFT_CLUSTER_SHARDS --env FRAMESIFT_SHARD_DEADLINE --env FRAMESIFT_SHARD_REPLICAS \\
    --env FRAMESIFT_SHARD_GPUS \\
    --publish "${{PUBLISH:-127.0.0.1:8001}}:8001" "$image"
"""

# Where another bundle chooses candidates, its gallery is mounted beside the first.
_ALONE = {"told": "", "read": "", "made": "", "mounted": ""}
_CHOSEN = {
    "told": "#   SHORTLIST_GALLERY  folder of the gallery that chooses candidates (./shortlist)\n",
    "read": 'shortlist=$(realpath -m "${SHORTLIST_GALLERY:-shortlist}")\n',
    "made": ' "$shortlist"',
    "mounted": '\n    --volume "$shortlist:/shortlist" \\',
}
