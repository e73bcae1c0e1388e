#!/bin/bash
# Trains on the eight GPUs of a node, or of several nodes: sbatch [--nodes=4] cluster/slurm.sh [flags of train.py]
# Start it from the clone, with its environment active; cluster/README.md says what else it takes.
#SBATCH --job-name=fsjax
#SBATCH --output=fsjax-%j.log
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gres=gpu:8
#SBATCH --cpus-per-task=8
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120

trap : TERM # is for the tasks, which save and end; this shell stays to see how
# Where a site's default ends all tasks at the first bad exit, those that still save would be lost.
srun --kill-on-bad-exit=0 python train.py --config=configs/prnet_coco.py --config.batch_size="$SLURM_NTASKS" \
    --config.lr_scaling=linear "$@"
code=$?
if [ "$code" = 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
