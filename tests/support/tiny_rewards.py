"""Tiny reward models in folders: a random body with a head of so many outputs."""

from pathlib import Path

import torch
from tiny import CHATML, make_tokenizer, save_tiny_model
from transformers import LlamaConfig, LlamaForSequenceClassification

from cai.templates import load_templates
from cai.training.reward_model.checkpoint import NamedConstitution, RewardFacts, write_facts
from cai.training.reward_model.principles import RewardTemplate

KIND = NamedConstitution(name="kind", hash="0" * 12, principles={"kind": "The response is kind."})


def save_reward_model(
    folder: Path,
    *,
    outputs: int = 1,
    template: str | None = CHATML,
    context: int = 256,
    has_padding: bool = True,
    seed: int = 0,
) -> Path:
    """Writes the model folder and returns it."""
    body = save_tiny_model(folder / "body", template=template, context=context, seed=seed)
    config = LlamaConfig.from_pretrained(body)
    config.num_labels = outputs
    if not has_padding:
        config.pad_token_id = None
    torch.manual_seed(seed)
    model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return folder


def save_conditioned(folder: Path, constitution: NamedConstitution | None = KIND) -> Path:
    """A reward model that reads principles; those of its training, if any, are in its folder."""
    template = RewardTemplate.of(load_templates("chat"))
    facts = RewardFacts(
        is_conditioned=True,
        constitution=constitution,
        template=template.text,
        template_hash=template.hash,
    )
    write_facts(save_reward_model(folder), facts)
    return folder
