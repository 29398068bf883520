"""``twowire model``: bring a model's weights into the folder a worker loads, draw random ones, look at a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace a model that is in FOLDER.")
dtype_option = click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float32"]),
    default="bfloat16",
    show_default=True,
    help="Numbers to keep it in; a GPU computes in bfloat16.",
)


@click.group()
def model() -> None:
    """Weights of the audio-interaction engine: convert them, draw random ones, look at a folder."""


@model.command()
@click.argument("published", type=click.Path(path_type=Path, exists=True, file_okay=False))
@folder_argument
@dtype_option
@overwrite_option
def convert(published: Path, folder: Path, dtype: str, overwrite: bool) -> None:
    """Write the checkpoint in PUBLISHED, as its authors publish it, to FOLDER, as a worker loads it."""
    with _friendly():
        import torch

        from model_worker.duplex.audio_interaction import model_folder

        model_folder.convert(published, folder, getattr(torch, dtype), overwrite=overwrite)
        click.echo(_report(folder, model_folder.describe(folder)))


@model.command()
@folder_argument
@click.option("--size", type=click.Choice(["tiny", "small", "3b"]), default="tiny", show_default=True)
@click.option("--published", is_flag=True, help="In the layout of the published checkpoint: a source for `convert`.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@overwrite_option
def random(folder: Path, size: str, published: bool, seed: int, overwrite: bool) -> None:
    """Write a model of random weights to FOLDER: it understands nothing, and does everything a model does."""
    with _friendly():
        import torch

        from model_worker.duplex.audio_interaction import model_folder, random_weights

        if published:
            if folder.exists() and any(folder.iterdir()):
                raise click.ClickException(f"{folder}: is not empty: name another folder")
            random_weights.write_published(folder, size, seed=seed)
            click.echo(f"{folder}: {size}, in the published layout")
            return
        dtype = torch.bfloat16 if size == "3b" else torch.float32
        model_folder.save(random_weights.random_model(size, seed=seed, dtype=dtype), folder, overwrite=overwrite)
        click.echo(_report(folder, model_folder.describe(folder)))


@model.command()
@folder_argument
def show(folder: Path) -> None:
    """Sizes of the model in FOLDER, what a call costs in memory, and its licence."""
    with _friendly():
        from model_worker.duplex.audio_interaction import model_folder

        click.echo(_report(folder, model_folder.describe(folder)))


@contextmanager
def _friendly() -> Iterator[None]:
    """The faults of files, disks and installations, told without a traceback."""
    try:
        from model_worker.duplex.audio_interaction.model_folder import CheckpointError, LicenceError
    except ImportError as error:
        raise click.ClickException(f"what models need is not installed ({error}); pip install 'twowire[gpu]'") from None
    try:
        yield
    except (CheckpointError, LicenceError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _report(folder: Path, found: Any) -> str:
    per_s = found.kv_bytes_per_token * 32.5  # 13 tokens for 0.4 s heard
    return "\n".join(
        (
            f"{folder}: {'random weights, ' if found.random else ''}{found.dtype}",
            f"decoder  {found.decoder_parameters / 1e6:,.1f} M parameters: {found.layers} layers of {found.hidden}, "
            f"vocabulary {found.vocabulary:,}, {found.max_positions:,} positions",
            f"tower    {found.tower_parameters / 1e6:,.1f} M parameters",
            f"keys     {found.kv_bytes_per_token:,} bytes per token, {per_s / 1e6:.3g} MB per second heard",
            f"licence  {found.licence}",
        )
    )
