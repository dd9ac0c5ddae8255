"""A recommender, served: histories → the best items."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import tensorflow as tf

from podway.export import contract
from podway.export.cases import recommender as cases
from podway.export.error import ExportError
from podway.export.graph import recommender as graph
from podway.export.graph import saved_model
from podway.export.lowering import recommender as lowering
from podway.export.lowering import stablehlo
from podway.export.served.served import Extras
from podway.export.silence import silence_tensorflow
from podway.export.verification import recommender as verification
from podway.framework import config
from podway.framework.schema.schema import Schema, Vocabulary


@dataclasses.dataclass(frozen=True)
class ServedRecommender:
    """A model of a user's next item (a Served, export/served/served.py).

    Attributes:
      experiment: evaluation.exclude_seen says whether seen items may be in the answer.
      schema: of the dataset that the model was trained on.
      vocabulary: of its items.
      attributes: what the dataset keeps of the items, by name, row = id; export.answers says which
        of them are served.
    """

    experiment: config.Experiment
    schema: Schema
    vocabulary: Vocabulary
    attributes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def write_saved_model(self, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> Extras:
        """See Served."""
        model, schema, vocabulary = self.experiment.model, self.schema, self.vocabulary
        items, options = schema["item"].size, self.experiment.export
        if len(vocabulary) != items:
            raise ExportError(
                f"the item vocabulary has {len(vocabulary)} rows, the schema says {items}"
            )
        lowering.check_parameters(model, schema, parameters)
        seen, times = self.experiment.evaluation.exclude_seen, model.reads_times()
        agreed = contract.resolve(options, schema, exclude_seen=seen, times=times)
        attributes = self._answered()
        function = lowering.recommend(model, schema, agreed.top_k, exclude_seen=seen)
        common = parameters, agreed.max_history, agreed.target
        lowered, filtered = stablehlo.lower(function, *common, times=times), None
        if agreed.candidate_filter:
            filtered = stablehlo.lower(function, *common, items, times=times)
        with silence_tensorflow():
            tf.config.set_visible_devices([], "GPU")  # they are JAX's
            saved_model.write(built, lowered, filtered, parameters, vocabulary, agreed, attributes)
        names = graph.names(agreed)
        return Extras(
            function=function,
            columns=[jax.ShapeDtypeStruct((agreed.max_history,), np.int32)] * (1 + times),
            golden=cases.golden(model, schema, vocabulary, parameters, agreed, attributes),
            warmup=verification.warmup_rows(vocabulary, names, times=times),
            details=dataclasses.asdict(agreed)
            | {"signatures": list(names), "padding": graph.padding(agreed)},
        )

    def _answered(self) -> dict[str, Sequence[str]]:
        """The attributes that are served. Raises ExportError where the dataset lacks one."""
        for name in self.experiment.export.answers:
            if name not in self.attributes:
                raise ExportError(
                    f"export.answers names {name!r}, and the dataset keeps"
                    f" {', '.join(self.attributes) or 'nothing'} of its items: name it in `keep` of"
                    " a side table of items, and build the dataset anew"
                )
        return {name: self.attributes[name] for name in self.experiment.export.answers}
