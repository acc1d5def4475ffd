"""Losses on probabilities beside TRL's own: equal at p = 1, flipped at p = 0, and in between."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from soft_trainers import loss_and_gradients, model_of, moved, pairs, save_models, trainer_of

from cai.errors import TrainingError
from cai.training.plan import LabelPlan
from cai.training.soft_losses import TARGET, WithTargets, check_soft_labels, extra_loss
from cai.training.trl import DPOConfig

KINDS = ["reward", "dpo"]
SOFT = LabelPlan()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


def measured(
    kind: str, models: Path, out: Path, rows: Any, labels: LabelPlan | None, **changes: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients away from the start, where no margin of DPO is zero."""
    trainer = trainer_of(kind, models, out, rows, labels, **changes)
    moved(trainer.model)
    loss, gradients = loss_and_gradients(trainer)
    return float(loss), gradients


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.allclose(value, other[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("kind", KINDS)
def test_certain_labels_give_the_loss_and_the_gradients_of_trl_to_the_last_bit(
    kind: str, models: Path, tmp_path: Path
):
    ours, our_gradients = measured(kind, models, tmp_path, pairs(1.0), SOFT)
    theirs, their_gradients = measured(kind, models, tmp_path, pairs(1.0), None)
    assert ours == theirs
    assert our_gradients.keys() == their_gradients.keys()
    for name, value in our_gradients.items():
        assert torch.equal(value, their_gradients[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_zero_give_the_loss_of_the_flipped_pairs(kind: str, models: Path, tmp_path: Path):
    ours, our_gradients = measured(kind, models, tmp_path, pairs(0.0), SOFT)
    flipped = pairs(1.0, is_flipped=True)
    theirs, their_gradients = measured(kind, models, tmp_path, flipped, None)
    assert f"{ours:.4f}" == f"{theirs:.4f}"
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert_close(our_gradients, their_gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_even_labels_are_the_same_whichever_side_is_called_chosen(
    kind: str, models: Path, tmp_path: Path
):
    one, gradients = measured(kind, models, tmp_path, pairs(0.5), SOFT)
    other, flipped = measured(kind, models, tmp_path, pairs(0.5, is_flipped=True), SOFT)
    assert one == pytest.approx(other, rel=1e-5)
    assert_close(gradients, flipped)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_cross_entropy_of_each_pair(kind: str, models: Path, tmp_path: Path):
    """With p of TRL's loss and 1 − p of that of the flipped pair, pair by pair."""
    ps = [0.9, 0.6, 0.75, 0.2]
    found, _ = measured(kind, models, tmp_path, pairs(ps), SOFT)
    parts: list[float] = []
    for is_flipped in (False, True):
        trainer = trainer_of(kind, models, tmp_path, pairs(1.0, is_flipped=is_flipped))
        moved(trainer.model)
        for n, p in enumerate(ps):
            batch = trainer.data_collator([trainer.train_dataset[n]])
            loss = float(trainer.compute_loss(trainer.model, batch).detach())
            parts.append((1 - p if is_flipped else p) * loss)
    assert found == pytest.approx(sum(parts) / 4, rel=1e-5)


def test_the_loss_in_numbers():
    """A margin of log 3 and a label of 0.9: σ(z) = 3/4.

    −0.9 log(3/4) − 0.1 log(1/4) = 0.25891 + 0.13863 = 0.39754.
    """
    margin = torch.tensor([math.log(3)], dtype=torch.float64)
    hard = -torch.nn.functional.logsigmoid(margin).mean()
    soft = hard + extra_loss(torch.tensor([0.9], dtype=torch.float64), margin)
    assert float(soft) == pytest.approx(0.39754, abs=5e-6)


def test_the_closed_form_is_the_cross_entropy_for_any_margin():
    generator = torch.Generator().manual_seed(0)
    margins = 8 * torch.randn(1000, dtype=torch.float64, generator=generator)
    targets = torch.rand(1000, dtype=torch.float64, generator=generator)
    log_sigmoid = torch.nn.functional.logsigmoid
    wanted = (-targets * log_sigmoid(margins) - (1 - targets) * log_sigmoid(-margins)).mean()
    found = -log_sigmoid(margins).mean() + extra_loss(targets, margins)
    assert float(found) == pytest.approx(float(wanted), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_label_smoothing_acts(kind: str, models: Path, tmp_path: Path):
    """Smoothing of 0.2 makes 0.8 of 1: the loss is that of soft labels of 0.8."""
    hard = LabelPlan("hard", smoothing=0.2)
    smoothed, gradients = measured(kind, models, tmp_path, pairs(1.0), hard)
    wanted, wanted_gradients = measured(kind, models, tmp_path, pairs(0.8), SOFT)
    plain, _ = measured(kind, models, tmp_path, pairs(1.0), SOFT)
    assert smoothed == pytest.approx(wanted, rel=1e-6)
    assert abs(smoothed - plain) > 1e-3
    assert_close(gradients, wanted_gradients)


def targets(plan: LabelPlan, ps: list[float]) -> list[float]:
    batch = WithTargets(lambda examples: {}, plan)([{TARGET: p} for p in ps])
    return batch[TARGET].tolist()


def test_targets_are_the_probabilities_moved_by_the_smoothing():
    assert targets(SOFT, [0.0, 0.25, 1.0]) == pytest.approx([0.0, 0.25, 1.0])
    # (1 − ε) t + ε (1 − t) with ε = 0.1: 0.1, 0.3 and 0.9
    assert targets(LabelPlan(smoothing=0.1), [0.0, 0.25, 1.0]) == pytest.approx([0.1, 0.3, 0.9])


def test_drawn_targets_are_ones_and_zeros_and_have_the_mean_loss_of_soft_ones():
    """The loss is linear in the target: with 40 000 draws the means agree to a hundredth."""
    torch.manual_seed(0)
    n, p, margin = 40_000, 0.7, 1.3
    drawn = targets(LabelPlan("drawn"), [p] * n)
    assert set(drawn) == {0.0, 1.0}
    margins = torch.full((n,), margin)
    found = float(extra_loss(torch.tensor(drawn), margins))
    assert found == pytest.approx(float(extra_loss(torch.full((n,), p), margins)), abs=0.01)


def test_a_pair_is_drawn_anew_each_time_it_is_met():
    torch.manual_seed(0)
    collate = WithTargets(lambda examples: {}, LabelPlan("drawn"))
    rows = [{TARGET: 0.5}] * 32
    assert collate(rows)[TARGET].tolist() != collate(rows)[TARGET].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_small_batches_train_like_a_great_one(kind: str, models: Path, tmp_path: Path):
    ps = [0.9, 0.6, 0.75, 0.2]
    weights: list[dict[str, torch.Tensor]] = []
    for size in (4, 1):
        trainer = trainer_of(
            kind,
            models,
            tmp_path,
            pairs(ps),
            SOFT,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
            optim="sgd",
            max_grad_norm=0.0,
        )
        trainer.train()
        logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert len(logged) == 1
        weights.append({name: value.detach() for name, value in trainer.model.named_parameters()})
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-5), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_an_evaluation_is_on_the_probabilities_too(
    kind: str, models: Path, tmp_path: Path
):
    found: dict[float, float] = {}
    for p in (1.0, 0.5, 0.0):
        trainer = trainer_of(kind, models, tmp_path, pairs(p), SOFT, max_steps=2)
        trainer.train()
        found[p] = trainer.evaluate()["eval_loss"]
        trained, _ = loss_and_gradients(trainer)
        assert found[p] == pytest.approx(float(trained), rel=1e-4)
    assert found[0.5] > max(found[0.0], found[1.0])  # an even label is never learned better


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_trained_on_the_same_loss(kind: str, models: Path, tmp_path: Path):
    ps = [0.9, 0.6, 0.75, 0.2]
    peft = LoraConfig(
        r=4,
        target_modules="all-linear",
        task_type="SEQ_CLS" if kind == "reward" else "CAUSAL_LM",
        modules_to_save=["score"] if kind == "reward" else None,
    )
    torch.manual_seed(0)
    trainer = trainer_of(kind, models, tmp_path, pairs(ps), SOFT, peft=peft)
    found, gradients = loss_and_gradients(trainer)
    plain = trainer_of(kind, models, tmp_path, pairs(ps), SOFT)
    wanted, _ = loss_and_gradients(plain)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)  # adapters begin as nothing
    assert gradients
    assert all("lora" in name or "score" in name for name in gradients)


def test_sft_beside_the_sigmoid_loss_keeps_its_weight(models: Path, tmp_path: Path):
    """Of 1.0 sigmoid and 0.2 sft the soft part is added to the first alone."""
    both = {"loss_type": ["sigmoid", "sft"], "loss_weights": [2.0, 0.2]}
    losses = {
        p: measured("dpo", models, tmp_path, pairs(p), SOFT, **both)[0] for p in (0.0, 0.5, 1.0)
    }
    alone = {p: measured("dpo", models, tmp_path, pairs(p), SOFT)[0] for p in (0.0, 1.0)}
    assert losses[0.5] == pytest.approx((losses[0.0] + losses[1.0]) / 2, rel=1e-5)
    assert losses[0.0] - losses[1.0] == pytest.approx(2 * (alone[0.0] - alone[1.0]), rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss_type": ["ipo"]}, "loss_type"),
        ({"precompute_ref_log_probs": False}, "precompute_ref_log_probs false"),
        ({"f_divergence_type": "js_divergence"}, "f_divergence_type js_divergence"),
        ({"ld_alpha": 0.5}, "ld_alpha 0.5"),
        ({"use_weighting": True}, "use_weighting true"),
    ],
)
def test_losses_in_which_soft_labels_mean_nothing_are_refused(
    settings: dict[str, Any], said: str, tmp_path: Path
):
    given = {"precompute_ref_log_probs": True, "use_cpu": True, "bf16": False, **settings}
    config = DPOConfig(output_dir=str(tmp_path), report_to="none", **given)
    with pytest.raises(TrainingError, match=f"the settings say {said}.*--labels hard"):
        check_soft_labels(config)


def test_the_models_of_these_tests_are_the_same_at_each_call(models: Path):
    one, other = (model_of("dpo", models).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
