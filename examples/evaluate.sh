#!/bin/sh
# Are revised answers better than the model's own? Its answers are sampled, those of the revising run
# are read, and a judge compares them prompt by prompt. Any two models, runs or files go the same way.
#
#   sh examples/evaluate.sh prompts.jsonl runs/better
set -eu

PROMPTS=$1
OUT=$2
MODEL=${MODEL:-embedded}
JUDGE=${JUDGE:-$MODEL}
CONSTITUTION=${CONSTITUTION:-testbed}

# Exit code 1 says that some examples failed; the others are there.
cai revise "$PROMPTS" --constitution "$CONSTITUTION" --model "$MODEL" --rounds 2 \
    --out "$OUT/revised" || [ $? -eq 1 ]

set -- "$PROMPTS" --policy "own=$MODEL" --policy "revised=$OUT/revised" \
    --constitution "$CONSTITUTION" --model "$JUDGE" --check "$CONSTITUTION" --out "$OUT/evaluation"

# What it will take, from a few prompts; none of their answers is asked for again.
cai evaluate "$@" --dry-run

cai evaluate "$@" || [ $? -eq 1 ]
