from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from trainer.window import Window, means_of


def step(loss: float, by_dataset: list[list[float]], skipped: int = 0) -> dict[str, jnp.ndarray]:
    values = {"loss": loss, "skipped": skipped, "skipped_in_row": skipped, "by_dataset": by_dataset, "row_loss": [loss]}
    return {name: jnp.asarray(value) for name, value in values.items()}


def test_a_line_is_of_the_steps_since_the_one_before() -> None:
    window = Window(["a", "b"])
    window.add(step(1.0, [[2, 1.0, 0.5], [0, 0, 0]]))
    window.add(step(3.0, [[1, 1.5, 0.5], [1, 2.0, 1.0]]))
    history, of_datasets = window.close()
    assert [one["loss"] for one in history] == [1, 3]
    assert all(one.keys() == {"loss", "skipped", "skipped_in_row"} for one in history)
    assert of_datasets == {"a": [3, 2.5, 1], "b": [1, 2, 1]}
    window.add(step(5.0, [[1, 0, 0], [0, 0, 0]]))
    assert len(window.close()[0]) == 1


def test_sums_and_means_are_of_the_updates_that_were_made() -> None:
    window = Window(["a"])
    for one in (step(1.0, [[1, 1, 1]]), step(np.nan, [[1, np.nan, 0]], skipped=1), step(2.0, [[1, 2, 1]])):
        window.add(one)
    history, of_datasets = window.close()
    means = means_of(history)
    assert (means["loss"], means["skipped"], means["skipped_in_row"]) == (1.5, 1, 0)
    assert of_datasets == {"a": [2, 3, 2]}
    window.add(step(np.nan, [[1, np.nan, 0]], skipped=1))
    history, of_datasets = window.close()
    assert np.isnan(means_of(history)["loss"]) and np.isnan(of_datasets["a"][1])
