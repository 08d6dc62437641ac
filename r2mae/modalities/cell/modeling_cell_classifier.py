"""Fine-tuned cell encoders as models of transformers. Needs torch, numpy and transformers alone.

`r2mae export --to transformers` copies this file beside the weights.

Shapes: B cells, G genes, C classes.
"""

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from .configuration_cell import CellConfig, CellMLPConfig, CellTransformerConfig
from .modeling_cell import CellMLPModel, CellPreTrainedModel, CellTransformerModel


class CellClassifier(CellPreTrainedModel):
    """Logits of classes or labels, or a predicted number."""

    base_model_prefix = "backbone"
    encoder_class: type[CellPreTrainedModel]

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        if getattr(config, "pooling", "mean") == "concat":
            raise ValueError(
                "pooling must be mean for a classifier, whose head reads the features "
                "alone, got 'concat'."
            )
        self.backbone = self.encoder_class(config)
        layers: list[nn.Module] = [nn.Dropout(config.head_dropout)]
        if config.head_hidden is not None:
            layers += [nn.Linear(config.width, config.head_hidden), nn.GELU()]
        last = nn.Linear(config.head_hidden or config.width, config.num_labels)
        self.head = nn.Sequential(*layers, last)
        self.post_init()

    def forward(
        self,
        values: Tensor,
        measured: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """values, measured (B, G) -> logits (B, C), and a loss where there are labels.

        labels: (B,) classes or numbers; (B, C) of 0 and 1 where a cell has several labels.
        """
        logits = self.head(self.backbone(values, measured).pooler_output)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, config=self.config
            )
        return SequenceClassifierOutput(loss=loss, logits=logits)


class CellMLPForSequenceClassification(CellClassifier):
    """An MLP over all genes with a head."""

    config_class = CellMLPConfig
    encoder_class = CellMLPModel


class CellTransformerForSequenceClassification(CellClassifier):
    """A transformer over expressed genes with a head."""

    config_class = CellTransformerConfig
    encoder_class = CellTransformerModel


for _model in (
    CellMLPForSequenceClassification,
    CellTransformerForSequenceClassification,
):
    _model.register_for_auto_class("AutoModelForSequenceClassification")
