#!/bin/sh
# A data set through a model on an OpenAI-compatible server (vLLM, SGLang, llama.cpp, Ollama, …),
# then the files for supervised training and for preferences, with no prompt in both.
#
#   MODEL=my-model URL=http://localhost:8000/v1 sh examples/revise_with_server.sh prompts.jsonl runs/first
#
# Stop it and give the same command again: it goes on where it was. Several servers of the same
# model are named with commas: URL=http://one:8000/v1,http://two:8000/v1. A server that wants a key
# finds it in the environment variable OPENAI_API_KEY.
set -eu

PROMPTS=$1
RUN=$2

# Exit code 1 says that some examples failed. They are records in the run, and the others are done,
# so the script goes on; it stops at 2 (bad input, no server) and at 130 (interrupted).
cai revise "$PROMPTS" \
    --constitution harmless \
    --model "openai:$MODEL@$URL" \
    --rounds 4 \
    --out "$RUN" || [ $? -eq 1 ]

cai export "$RUN" --format sft --sft-share 0.5 --out "$RUN/sft.jsonl"
cai export "$RUN" --format preference --sft-share 0.5 --out "$RUN/preference.jsonl"
