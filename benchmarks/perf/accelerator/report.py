"""Formats report rows: shares of the accelerator's peak, and one line of text per row."""

from __future__ import annotations

from typing import Any

Rows = dict[str, dict[str, Any]]


def with_shares(rows: Rows) -> Rows:
    """Rows with FLOP/s as a share of the matmul peak of their number format, if measured."""
    peaks = next((row["peak_gflops"] for row in rows.values() if "peak_gflops" in row), {})
    shares = {
        name: row["gflop"] / row["pipelined"] / peaks[row["args"]["numbers"]]
        for name, row in rows.items()
        if peaks and "pipelined" in row
    }
    return rows | {name: rows[name] | {"share_of_peak": share} for name, share in shares.items()}


def line(row: dict[str, Any]) -> str:
    """One row as text: state, then time, memory, share of the peak and compilation, or the last
    line of the reason if it has no result.
    """
    parts = []
    if "reason" in row:
        parts.append(row["reason"].strip().rsplit("\n", 1)[-1])
    if "peak_gflops" in row:
        parts += [f"{name} {peak / 1e3:.1f} TFLOP/s" for name, peak in row["peak_gflops"].items()]
    if "median" in row:
        parts += [f"{1e3 * row['median']:.2f} ms", f"{1e3 * row['pipelined']:.2f} ms pipelined"]
    if "share_of_peak" in row:
        parts.append(f"{row['share_of_peak']:.1%} of peak")
    if "peak_gib" in row:
        parts.append(f"{row['peak_gib']:.2f} GiB")
    if "updates_per_second" in row:
        parts.append(f"{row['updates_per_second']:.1f} updates/s over all seeds")
    if "frames_per_second" in row:
        parts.append(f"{row['steps_per_second']:.0f} steps/s")
        parts.append(f"{row['frames_per_second']:.0f} frames/s")
    if "compile_seconds" in row:
        parts.append(f"traced {row['trace_seconds']:.1f} s")
        parts.append(f"compiled {row['compile_seconds']:.1f} s")
    return f"{row['state']:8} {row['name']}: {', '.join(parts)}"
