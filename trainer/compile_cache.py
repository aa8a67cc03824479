"""What was compiled once is kept on disk: a run that starts again takes its first step at once."""

from __future__ import annotations

import os

import jax

from trainer.encoders.fetch import cache_folder

FOLDER = "JAX_COMPILATION_CACHE_DIR"


def keep_compiled() -> None:
    """Keeps compiled programs in the user's cache folder, unless JAX was told another place.

    JAX's own JAX_COMPILATION_CACHE_DIR names the place (`gs://` too, which several hosts can share)
    and JAX_ENABLE_COMPILATION_CACHE=false switches it off. A program is found again by what it
    computes, JAX's version, the device and the flags, so none has to be thrown away by hand.
    """
    if FOLDER not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
