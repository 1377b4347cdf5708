"""The README of a deployment for NVIDIA's container: what was chosen, and how it is built, started and asked."""

from __future__ import annotations

from ... import __version__
from ...export.bundle.manifest import Manifest
from ...export.bundle.storages import is_coarse, storage_of


def readme(image: str, manifest: Manifest, chooser: Manifest | None = None, *, engines: bool = False) -> str:
    """The README's text.

    Args:
        image: the image's name and tag.
        manifest: as the deployment has it, storage and all.
        chooser: of the bundle that chooses candidates, if one does.
        engines: there are TensorRT engines.
    """
    return _README.format(
        image=image,
        version=__version__,
        chosen="\n".join(f"- {line}" for line in _chosen(manifest, chooser, engines=engines)),
        **{name: text * (chooser is not None) for name, text in _SHORTLIST.items()},
        **{name: text * engines for name, text in _ENGINES.items()},
    )


def _chosen(manifest: Manifest, chooser: Manifest | None, *, engines: bool) -> list[str]:
    """What whoever deployed it chose, a line for each."""
    films = manifest.frames is not None or manifest.film is not None
    reads = " and ".join([*(["films and images"] if films else []), *(["feature files"] if manifest.features else [])])
    found = [
        f"Model: {_named(manifest)}, which reads {reads}.",
        f"Gallery in memory: {storage_of(manifest)}.",
    ]
    if is_coarse(manifest):
        found.append("Searches have a coarse stage: calibrate the gallery, `framesift gallery calibrate`, first.")
    if chooser is not None:
        found.append(f"Candidates of a search are chosen by {_named(chooser)}, with a gallery of its own.")
    if engines:
        found.append("Encoders run as TensorRT engines, on the GPU that these were built for.")
    return found


def _named(manifest: Manifest) -> str:
    return f"{manifest.system}, fingerprint `{manifest.fingerprint[:12]}`"


# What stands in the text beside the rest where another bundle chooses candidates, and where there are engines.
_SHORTLIST = {
    "shortlist": "| `/shortlist` | the gallery that candidates are chosen from: `SHORTLIST_GALLERY`, `./shortlist` |\n"
}
_ENGINES = {"engines": "| `engines/` | what TensorRT's engines are for, compared before the server starts |\n"}
_README = """\
# {image}

Text-to-video retrieval on NVIDIA Triton Inference Server: a folder of which Docker makes an image, written by
`framesift repository deploy` of framesift {version}.

{chosen}

## Start it

On a machine with Docker and its buildx. The first build loads NVIDIA's image, many gigabytes.

```sh
FRAMESIFT_INSECURE=1 ./run.sh gallery    # to try it: everybody who reaches the port may call
./run.sh gallery secrets                 # with TLS, and tokens or clients' certificates
```

`run.sh` builds the image and starts it with a read-only root, no capabilities and the GPUs that there are; its first
lines list what can be set. The same with Docker Compose: `docker compose up --build`, on GPUs with
`-f compose.yaml -f compose.gpu.yaml`. On Kubernetes: push the image, and

```sh
helm install search ./chart --set image.repository=REGISTRY/NAME --set secrets.tls=SECRET --set secrets.tokens=SECRET
```

## Who may call

Whoever the folder `secrets` says. It holds `tls.crt` and `tls.key`, and `tokens` or, for clients with certificates,
their authority's `clients.crt`. The server reads them again when they change.

```sh
framesift token films --role index --tokens secrets/tokens
framesift token dashboard --role search --tokens secrets/tokens
```

## Fill it, and search

```sh
FRAMESIFT_TOKEN=fs_... framesift index films/ --server search.example.org:8001
FRAMESIFT_TOKEN=fs_... framesift search "a dog catches a frisbee" --server search.example.org:8001
docker compose run --rm index                  # without the server: what lies in ./videos
```

`FRAMESIFT_TLS_CA=ca.crt` names the authority of a certificate that isn't publicly known.

## Port, volumes and health

| in the container | what it is |
|---|---|
| port 8001 | gRPC, HTTP and, with `FRAMESIFT_PAGE=1`, the page; on this machine 127.0.0.1:8001, or `PUBLISH` |
| `/gallery` | the videos' records, the one thing to keep; its owner is whom the server runs as |
{shortlist}| `/secrets` | who may call, read-only |
| `/videos` | films that the page may show, read-only: `VIDEOS` |
| `/engines` | kernels and engines that are compiled at a start, kept for the next one |
| `/dev/shm` | videos on their way, 4 GiB: `SHM` |

`GET /v2/health/ready` is answered with 200 while searches are answered, `/v2/health/live` while the server is there at
all, and `/metrics` tells the rest. Docker asks by itself: `docker ps` shows `healthy`.

## What is in this folder

| file | what it is |
|---|---|
| `model_repository/` | Triton server's models: graphs and configurations |
| `door/` | what the front door and indexing jobs read of the model |
{engines}| `python/` | framesift's modules |
| `Dockerfile` | of the image |
| `requirements.txt`, `requirements-gpu.txt`, `requirements-ray.txt` | what Python imports there, pinned by hash |
| `start.sh` | starts the server in the container, and lists all its settings |
| `run.sh` | builds and starts the image |
| `index.sh` | fills the gallery without a server, in a container or a job |
| `compose.yaml`, `compose.gpu.yaml` | for Docker Compose |
| `chart/` | for Helm |
"""
