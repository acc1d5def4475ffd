#!/bin/sh
# A long run with care: what it would take, two parts as two machines would make them, a cap on its
# cost, and one export of both.
#
#   MODEL=openai:my-model@http://localhost:8000/v1 sh examples/long_run.sh prompts.jsonl runs/long
#
# While it runs, watch a part from another terminal: cai status runs/long/part-1 --follow
set -eu

PROMPTS=$1
OUT=$2
PRICES=$(dirname "$0")/prices.yaml

revise() {
    cai revise "$PROMPTS" --constitution harmless --model "$MODEL" --rounds 2 --prices "$PRICES" "$@"
}

# Sixteen examples are asked and kept; the table says what all of them would take.
revise --part 1/2 --out "$OUT/part-1" --dry-run

# Exit code 1 says that some examples failed, and 2 that the cap is reached or something is wrong.
# After either the same command goes on; nothing that is finished is asked twice.
revise --part 1/2 --out "$OUT/part-1" --max-cost-usd 5 || [ $? -eq 1 ]
revise --part 2/2 --out "$OUT/part-2" --max-cost-usd 5 || [ $? -eq 1 ]

cai status "$OUT/part-1" --prices "$PRICES"
cai cache show "$OUT/part-1"
cai export "$OUT/part-1" "$OUT/part-2" --format sft --out "$OUT/sft.jsonl"
