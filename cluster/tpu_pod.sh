#!/bin/bash
# Trains on a TPU pod slice that may be taken away at any time: asks for one, sets up its hosts, starts, and
# starts again until the training has ended. It runs on your own machine; cluster/README.md says what it takes.
#
#     SHARE=10.0.0.2:/share ZONE=us-east5-b cluster/tpu_pod.sh [flags of train.py]
set -u
: "${SHARE:?an NFS share, as 10.0.0.2:/share}" "${ZONE:?as us-east5-b}"
NAME=${NAME:-fsjax} TYPE=${TYPE:-v6e-16} RUNTIME=${RUNTIME:-v2-alpha-tpuv6e} WAIT=${WAIT:-30}

tpus() { gcloud compute tpus "$@" --zone="$ZONE"; }

# On every host; what has been set up stays. A training that a lost connection left behind would keep the lock.
job="mountpoint -q ~/share || (sudo apt-get install -qy nfs-common && mkdir -p ~/share && sudo mount $SHARE ~/share)
pkill -KILL -x python
export PATH=~/.local/bin:\$PATH VIRTUAL_ENV=~/venv
cd ~/share/fsjax && python3 -m pip install -q --user uv && uv venv -q --allow-existing --python=3.12 ~/venv &&
uv pip install -q -r requirements.txt 'jax[tpu]' &&
~/venv/bin/python train.py --config=configs/prnet_coco.py --config.batch_size=${TYPE##*-} --config.lr_scaling=linear --coordinator=auto"
if [ $# -gt 0 ]; then job+=$(printf ' %q' "$@"); fi

while true; do
    case $(tpus queued-resources describe "$NAME" --format="value(state.state)" 2>&1) in
        *ACTIVE)
            tpus tpu-vm ssh "$NAME" --worker=all --command="$job"
            code=$?
            if [ "$code" = 0 ]; then tpus queued-resources delete "$NAME" --force --quiet; fi
            case $code in 75 | 255) ;; *) exit "$code" ;; esac # 255: the connection broke, or the machine is gone
            ;;
        *SUSPENDED | *FAILED) tpus queued-resources delete "$NAME" --force --quiet ;;
        *NOT_FOUND*)
            tpus queued-resources create "$NAME" --node-id="$NAME" --accelerator-type="$TYPE" \
                --runtime-version="$RUNTIME" --spot || exit
            ;;
        *) ;; # on its way, or gcloud has no answer just now
    esac
    sleep "$WAIT"
done
