#!/usr/bin/env bash
# Fill the GPU sections of docs/benchmarks/ on a machine with a CUDA GPU, in about ten minutes.
#
#   tools/benchmarks/gpu.sh                    each step writes its section of a page in docs/benchmarks
#   tools/benchmarks/gpu.sh --output FOLDER    each step writes FOLDER/STEP.md instead
#   tools/benchmarks/gpu.sh --dry-run          print the commands only
#
# PYTHON names the interpreter (python). `export` needs onnxruntime-gpu instead of onnxruntime.
# A step that fails or exceeds its time is named at the end, and the others still run.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
python=${PYTHON:-python}

# Name, seconds at most, arguments of run.py. Batches of 16: NL's matrices then fit into 24 GB.
# All blocks run in eager mode; compiling one takes 10 s at each size, so only some are.
steps="
model 110 model --device cuda --dtype float32 tf32 bf16 --batch 16 --eval-rounds 20 --train-rounds 10 --blocks none srl_fft srl_lo nl a2
blocks 120 blocks --device cuda --dtype float32 tf32 bf16 --batch 16 --rounds 10
blocks-compiled 160 blocks --device cuda --dtype float32 bf16 --how compiled --batch 16 --rounds 10 --input-size 384x288 --blocks srl_fft srl_fft_matmul a2
predict 80 predict --device cuda --generate 256 --threads 8 --batch 128
export 60 export --device cuda --precision float32 fp16 --batch 1 32
clip-model 70 clip-model --device cuda --dtype float32 tf32 bf16 --batch 8 --eval-rounds 10 --train-rounds 10
"

output= dry_run=
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry_run=yes ;;
        --output) output=${2:?--output needs a folder}; shift ;;
        *) echo "gpu.sh: $1 is not an option; give --output FOLDER or --dry-run" >&2; exit 2 ;;
    esac
    shift
done

if [ -z "$dry_run" ]; then
    found='import torch; exit("no GPU" if not torch.cuda.is_available() else 0)'
    if ! "$python" -c "$found" 2>/dev/null; then
        echo "gpu.sh: $python finds no CUDA GPU; install a CUDA build of torch, or set PYTHON to the interpreter that has one" >&2
        exit 2
    fi
    [ -z "$output" ] || mkdir -p "$output" || exit 2
fi

failed=
while read -r name limit arguments; do
    [ -n "$name" ] || continue
    command="timeout $limit $python tools/benchmarks/run.py $arguments"
    [ -n "$output" ] || command="$command --write"
    if [ -n "$dry_run" ]; then
        echo "$command"
    elif [ -n "$output" ]; then
        PYTHONPATH=$PWD $command </dev/null | tee "$output/$name.md" || failed="$failed $name"
    else
        PYTHONPATH=$PWD $command </dev/null || failed="$failed $name"
    fi
done <<<"$steps"

if [ -n "$failed" ]; then
    echo "gpu.sh: failed or out of time:$failed" >&2
    exit 1
fi
