"""Pin the images of the Dockerfiles and Compose files by digest as well as tag.

    make pin-images        (needs Docker with buildx, and the registries)

Each `name:tag` becomes `name:tag@sha256:…`, the digest that the registry gives for the tag now; one
that is pinned already is looked up again. Nothing is written unless every digest was found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docker/Dockerfile", "docker/Dockerfile.libs", "docker-compose.yml",
         "docker-compose.monitoring.yml")  # fmt: skip
#: FROM or image: with a tag, perhaps pinned already.
IMAGE = re.compile(r"^(FROM |\s*image: )([\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def find_digest(image: str) -> str:
    """The digest of all platforms' images together. Raises RuntimeError where there is none."""
    command = ("docker", "buildx", "imagetools", "inspect", image, "--format",
               "{{.Manifest.Digest}}")  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = done.stdout.strip()
    if done.returncode != 0 or not DIGEST.fullmatch(found):
        raise RuntimeError(f"{image}: no digest: {(done.stderr or found).strip()}")
    return found


def pin(text: str, digests: dict[str, str]) -> str:
    """`text` with the digest behind every image."""
    return IMAGE.sub(lambda found: f"{found[1]}{found[2]}@{digests[found[2]]}", text)


def main(root: Path = ROOT) -> int:
    texts = {root / name: (root / name).read_text("utf-8") for name in FILES}
    images = sorted({found[2] for text in texts.values() for found in IMAGE.finditer(text)})
    try:
        digests = {image: find_digest(image) for image in images}
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"pin_images: {error}\n")
        return 1
    for path, text in texts.items():
        path.write_text(pin(text, digests), "utf-8")
    sys.stdout.write("".join(f"{image}@{digest}\n" for image, digest in digests.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
