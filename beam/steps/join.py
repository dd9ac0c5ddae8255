"""Side tables: attributes of users and items, joined to the vocabulary by their key."""

import io
from collections.abc import Iterable, Iterator, Mapping

import apache_beam
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.beam.error import portable
from podway.beam.features import fit
from podway.beam.formats.rows import keep_role
from podway.beam.steps import codes, facts, number
from podway.beam.steps.chunk import Chunk
from podway.framework.config import Data
from podway.framework.schema.schema import FIRST_VALUE, PADDING


class Join(apache_beam.DoFn):
    """("user" or "item", rows of its side tables) → facts.TableFacts for each table.

    Writes features/user.arrow or features/item.arrow, row = id, and the features' vocabularies;
    and of what is kept as text attributes/user.parquet or attributes/item.parquet, row = id.
    Transforms are fitted on those users or items that the vocabulary has, each of which counts
    once.
    """

    def __init__(self, data: Data, stage: str, base: str | None):
        self._data, self._stage, self._base = data, stage, base

    def process(
        self, element: tuple[str, Iterable[tuple[int, Chunk]]], index: Mapping[str, Chunk]
    ) -> Iterator[facts.TableFacts]:
        """One kind of side tables."""
        of, chunks = element
        known = index[of].table() if of in index else _NOBODY
        parts: dict[int, list[pl.DataFrame]] = {}
        for table_number, chunk in chunks:
            parts.setdefault(table_number, []).append(pl.DataFrame(chunk.table()))
        columns: dict[str, pa.Array] = {}
        kept: dict[str, pa.Array] = {}
        with portable():
            for table_number in sorted(parts):
                rows = pl.concat(parts[table_number]).sort("position")
                yield self._join(table_number, rows, known, columns, kept)
            if columns:
                self._write(of, columns)
            if kept:
                self._write_kept(of, kept)

    def _join(
        self,
        table_number: int,
        rows: pl.DataFrame,
        known: pa.Table,
        columns: dict[str, pa.Array],
        kept: dict[str, pa.Array],
    ) -> facts.TableFacts:
        """Fits and applies one table's transforms; adds the results, by id, to `columns`, and what
        is kept as text to `kept`."""
        table, ids = self._data.tables[table_number], known["id"].to_numpy()
        once = rows.unique("fingerprint", keep="first", maintain_order=True)
        fingerprints = once["fingerprint"].to_numpy()
        row_ids = codes.look_up(fingerprints, known["fingerprint"].to_numpy(), ids, PADDING)
        used = row_ids >= FIRST_VALUE
        row = np.full(max(int(ids.max(initial=0)) + 1, FIRST_VALUE), -1, np.int64)
        row[row_ids[used]] = np.flatnonzero(used)
        learnt, raw, own = [], {}, {}
        for feature in table.features:
            values = number.plain(once[feature.name]).take(pa.array(row, mask=row < 0))
            seen = values.filter(pa.array(row >= 0))
            state = fit.merge(feature, [fit.observe(feature, seen)])
            learnt.append(number.learn(feature, state, table.of, self._stage, self._base))
            words = number.words_of(learnt[-1][0], self._stage)
            columns[feature.name] = fit.apply(learnt[-1][0], words, values)
            own[feature.name] = columns[feature.name][FIRST_VALUE:]
            if fit.kind(feature) in ("number", "time"):
                raw[feature.name] = values[FIRST_VALUE:]
        for name in table.keep:
            values = number.plain(once[keep_role(name)]).take(pa.array(row, mask=row < 0))
            kept[name] = values.fill_null("")
        return facts.TableFacts(
            table=table_number,
            of=table.of,
            keys=len(once),
            repeated=len(rows) - len(once),
            unused=int((~used).sum()),
            without=len(row) - FIRST_VALUE - int(used.sum()),
            learnt=learnt,
            longest=facts.longest(columns),
            statistics=facts.describe(own, raw),
        )

    def _write(self, of: str, columns: dict[str, pa.Array]) -> None:
        batch = pa.RecordBatch.from_pydict(columns)
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, batch.schema) as file:
            file.write_batch(batch)
        path = epath.Path(self._stage) / "features" / f"{of}.arrow"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sink.getvalue())

    def _write_kept(self, of: str, kept: dict[str, pa.Array]) -> None:
        sink = io.BytesIO()
        pq.write_table(pa.table(kept), sink, compression="zstd")
        path = epath.Path(self._stage) / "attributes" / f"{of}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sink.getvalue())


_NOBODY = pa.table({"fingerprint": pa.array([], pa.uint64()), "id": pa.array([], pa.int32())})
