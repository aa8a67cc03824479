"""What stands on an encoder folder, as sentence-transformers has written it for years."""

from __future__ import annotations

import json
from pathlib import Path

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
MAX = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}


def write_head(folder: Path, *kinds: str, pooling: dict | None = None) -> None:
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        path = folder / "1_Pooling"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(pooling))
