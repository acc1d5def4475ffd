#!/bin/sh
# Preference and SFT data of which a part is people's: the model's judgements of its own samples,
# with labelled pairs of a file among them. Every row says where it comes from and how sure it is.
#
#   sh examples/mix_with_people.sh prompts.jsonl labelled_pairs.jsonl runs/mixed
set -eu

PROMPTS=$1
PEOPLE=$2
OUT=$3
MODEL=${MODEL:-embedded}

# Exit code 1 says that some examples failed; the others are there.
cai sample "$PROMPTS" --model "$MODEL" -k 3 --out "$OUT/samples" || [ $? -eq 1 ]
cai judge "$OUT/samples" --constitution testbed --model "$MODEL" --out "$OUT/judged" || [ $? -eq 1 ]

# Four rows in ten are people's, drawn by the seed; nine in ten of their labels are held to be right.
cai export "$OUT/judged" --format preference --out "$OUT/preference.jsonl" \
    --mix "$PEOPLE:weight=0.4:confidence=0.9" --seed 1

# For SFT the better of two responses is learned from: here in the share that the paper's people had.
cai export "$OUT/judged" --format sft --out "$OUT/sft.jsonl" --mix "$PEOPLE:helpfulness" --seed 1
