"""Compose files and the script of indexing jobs, for a deployment's image."""

from __future__ import annotations


def compose_files(image: str, *, chosen: bool) -> dict[str, str]:
    """The files by name, for an image of that name; ``chosen`` where a second gallery chooses candidates."""
    text = _COMPOSE.replace("IMAGE", image, 1)
    if chosen:
        text = text.replace(_GALLERY, _GALLERY + _SHORTLIST).replace(_GALLERY_TOLD, _GALLERY_TOLD + _SHORTLIST_TOLD)
    return {
        "compose.yaml": text,
        "compose.gpu.yaml": _GPU,
        "index.sh": _INDEX,
    }


_GALLERY = '      - "${GALLERY:-./gallery}:/gallery"\n'
_SHORTLIST = '      - "${SHORTLIST_GALLERY:-./shortlist}:/shortlist"\n'
_GALLERY_TOLD = """\
#                              belong to OWNER. Without secrets FRAMESIFT_INSECURE=1 lets everybody call
"""
_SHORTLIST_TOLD = """\
#   SHORTLIST_GALLERY          that of the gallery that chooses candidates (./shortlist), as GALLERY
"""

_COMPOSE = """\
# What run.sh does, for Docker Compose: `docker compose up --build`. `docker compose run --rm index` fills the gallery.
# Settings are environment variables, or lines of a file .env:
#   GALLERY, SECRETS, VIDEOS   folders of this machine (./gallery, ./secrets, ./videos). The first must be there, and
#                              belong to OWNER. Without secrets FRAMESIFT_INSECURE=1 lets everybody call
#   OWNER                      user and group that own the gallery (1000:1000)
#   PUBLISH, SHM               address and port on this machine (127.0.0.1:8001); shared memory (4g)
#   FRAMESIFT_*, OTEL_*        see start.sh; with FRAMESIFT_VIDEOS=/videos whoever may search may see VIDEOS
#   RAY=1                      build an image with Ray: with FRAMESIFT_CLUSTER=local and FRAMESIFT_CLUSTER_SHARDS=2 the
#                              gallery is in two shards, for two GPUs of this machine (FRAMESIFT_SHARD_GPUS=1)
# With `-f compose.yaml -f compose.gpu.yaml` the server has all GPUs.
name: framesift
x-confined: &confined
  image: "IMAGE${RAY:+-ray}"
  user: "${OWNER:-1000:1000}"
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  tmpfs: [/tmp]
  shm_size: "${SHM:-4g}"
services:
  server:
    <<: *confined
    build: {context: ., args: {RAY: "${RAY:-}"}}
    restart: unless-stopped
    stop_grace_period: 30s
    ports: ["${PUBLISH:-127.0.0.1:8001}:8001"]
    volumes:
      - "${GALLERY:-./gallery}:/gallery"
      - "${SECRETS:-./secrets}:/secrets:ro"
      - "${VIDEOS:-./videos}:/videos:ro"
      - "engines:/engines"
    environment:
      - FRAMESIFT_CONFIG
      - FRAMESIFT_INSECURE
      - FRAMESIFT_VIDEO_LIMITS
      - FRAMESIFT_PAGE
      - FRAMESIFT_NAMES
      - FRAMESIFT_VIDEOS
      - FRAMESIFT_ACCESS_LOG
      - FRAMESIFT_LOG_TEXTS
      - FRAMESIFT_LOG_FORMAT
      - OTEL_EXPORTER_OTLP_ENDPOINT
      - FRAMESIFT_TRACE_RATIO
      - FRAMESIFT_CLUSTER
      - FRAMESIFT_CLUSTER_SHARDS
      - FRAMESIFT_SHARD_DEADLINE
      - FRAMESIFT_SHARD_REPLICAS
      - FRAMESIFT_SHARD_GPUS
  index:
    <<: *confined
    profiles: [index]
    command: [/opt/framesift/index.sh, /videos]
    healthcheck: {disable: true}
    volumes:
      - "${GALLERY:-./gallery}:/gallery"
      - "${VIDEOS:-./videos}:/videos:ro"
    environment:
      - FRAMESIFT_VIDEO_LIMITS
volumes:
  engines: {}
"""

_GPU = """\
services:
  server:
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}
"""

_INDEX = """\
#!/usr/bin/env bash
# Fills the gallery without a server:  index.sh [OPTION ...] PATH ...
# Options and paths are those of `framesift index`. Settings are environment variables:
#   FRAMESIFT_MIGRATE       the folder of another model's gallery: its videos are made again, with the options of
#                           `framesift gallery migrate` and without paths
#   FRAMESIFT_SPLIT         the folder of a gallery that is split into FRAMESIFT_SHARDS shards; without options, paths
#   FRAMESIFT_GALLERY       the gallery's folder (/gallery); made if absent
#   FRAMESIFT_SHORTLIST_GALLERY  that of the bundle that chooses candidates (/shortlist), which is filled first
#   FRAMESIFT_VIDEO_LIMITS  limits of videos that are changed, such as "work=120 bytes=1G"
#   FRAMESIFT_SHARDS        how many jobs share the work, of which this is JOB_COMPLETION_INDEX, counted from 0
#   FRAMESIFT_SHARDED       1: the gallery is in as many shards as there are jobs, each of which fills one
#   FRAMESIFT_CLUSTER       the address of a Ray cluster, of which this container becomes a node, and which encodes
set -euo pipefail
here=$(dirname "$(realpath "$0")")
export PYTHONPATH=$here/python
if [ -n "${FRAMESIFT_MIGRATE:-}" ]; then
    exec python3 -P -m framesift.serving.migrate_command "$FRAMESIFT_MIGRATE" "${FRAMESIFT_GALLERY:-/gallery}" \\
        --bundle "$here/door" "$@"
fi
if [ -n "${FRAMESIFT_SPLIT:-}" ]; then
    exec python3 -P -m framesift.serving.gallery.split_command "$FRAMESIFT_SPLIT" "${FRAMESIFT_GALLERY:-/gallery}" \\
        --shards "${FRAMESIFT_SHARDS:-1}"
fi
how=()
if [ -n "${JOB_COMPLETION_INDEX:-}" ]; then how+=(--shard "$JOB_COMPLETION_INDEX/${FRAMESIFT_SHARDS:-1}"); fi
if [ -n "${FRAMESIFT_SHARDED:-}" ]; then how+=(--sharded); fi
index=(python3 -P -m framesift.serving.index_command)
if [ -n "${FRAMESIFT_CLUSTER:-}" ]; then
    how+=(--ray "$FRAMESIFT_CLUSTER")
    index=(python3 -P -m framesift.serving.indexing.ray_node "$FRAMESIFT_CLUSTER" "${index[@]}")
fi
status=0
if [ -d "$here/door/shortlist" ]; then
    # What is in the other gallery, too, can be chosen.
    "${index[@]}" --bundle "$here/door/shortlist" --gallery "${FRAMESIFT_SHORTLIST_GALLERY:-/shortlist}" \\
        "${how[@]}" "$@" || status=$?
fi
"${index[@]}" --bundle "$here/door" --gallery "${FRAMESIFT_GALLERY:-/gallery}" "${how[@]}" "$@" || status=$?
exit "$status"
"""
