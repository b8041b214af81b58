#!/usr/bin/env bash
# The shipped model and its teachers from the data to a card, in one command that goes on where it was stopped:
#
#     runs/flagship.sh DATA OUT [--profile cpu|gpu] [--soft-labels FILE] [--rehearsal]
#
# DATA is FER2013 with FER+ votes in any form that `mien data` reads, OUT a folder. Stages:
#
#     data        count what is there
#     teachers    those in runs/flagship/PROFILE/teacher-*.toml       OUT/teacher-1, OUT/teacher-2, ...
#     distill     the teachers' answers about the training pictures  OUT/soft.npz
#     student     the shipped model, taught by them                  OUT/student
#     evaluation  a report of every head, with corrupted faces       OUT/evaluation
#     card        the model card                                     OUT/MODEL_CARD.md
#
# --soft-labels FILE skips the teachers: FILE is what an earlier run's stage `distill` wrote, from the same data; the
# student then starts from runs/flagship/teacher-3.
# --rehearsal runs all of it in about two minutes, on a few pictures and for two epochs.
# KERAS_BACKEND=jax trains with JAX (on a GPU, say); Keras exports with TensorFlow, so both must be installed.
set -euo pipefail

die() { echo "flagship: $*" >&2; exit 2; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

home=$(cd "$(dirname "$0")" && pwd)
profile=cpu soft= data= out= few=()
while (($#)); do
    case $1 in
        --profile) profile=${2:?"--profile needs cpu or gpu"}; shift ;;
        --soft-labels) soft=${2:?"--soft-labels needs a file"}; shift ;;
        --rehearsal) few=(--set limit=240 --set calibration_fraction=0.3 --set epochs=2 --set clean_epochs=1) ;;
        -h | --help) usage; exit 0 ;;
        -*) die "unknown option $1; see --help" ;;
        *) if [[ -z $data ]]; then data=$1; elif [[ -z $out ]]; then out=$1; else die "too much: $1"; fi ;;
    esac
    shift
done
[[ -n $out ]] || die "expected DATA and OUT; see --help"
[[ $profile == cpu || $profile == gpu ]] || die "no profile $profile: expected cpu or gpu"
[[ -z $soft || -f $soft ]] || die "$soft: no such file"
recipes=$home/flagship/$profile
# On a CPU the student goes on from a teacher of its own network; on a GPU there is time to begin anew.
start=()
[[ $profile == gpu ]] || start=(--init "$home/flagship/teacher-3")
mien=(python -m mien)

stage() { echo "== $1 ($(date -u '+%F %T') UTC)" >&2; }

# Trains, or goes on with what was begun. A run is finished when it has its scores.
learn() {
    local run=$1
    shift
    [[ ! -f $run/metrics.json ]] || return 0
    if [[ -f $run/train.json ]]; then
        "${mien[@]}" train "$data" --output "$run" --resume && return 0
    else
        "${mien[@]}" train "$data" --output "$run" "$@" ${few[@]+"${few[@]}"} && return 0
    fi
    [[ ${KERAS_BACKEND:-tensorflow} != tensorflow && -f $run/model.keras ]] || return 1
    KERAS_BACKEND=tensorflow "${mien[@]}" train "$data" --output "$run" --resume
}

# A folder goes on with what it was begun with: half of one model and half of another would be none.
mkdir -p "$out"
begun=$(printf '%s\n' "data $data" "profile $profile" "soft labels ${soft:-of its own teachers}" "rehearsal ${few[*]-}"
    cat "$recipes"/*.toml)
[[ ! -f $out/begun-with.txt || $begun == "$(cat "$out/begun-with.txt")" ]] ||
    die "$out was begun with other settings, see $out/begun-with.txt; choose another folder"
printf '%s\n' "$begun" > "$out/begun-with.txt"

stage data
"${mien[@]}" data "$data"

if [[ -z $soft ]]; then
    soft=$out/soft.npz
    asked=()
    for recipe in "$recipes"/teacher-*.toml; do
        name=$(basename "$recipe" .toml)
        stage "$name"
        learn "$out/$name" --config "$recipe"
        asked+=(--teacher "$out/$name")
    done
    stage distill
    [[ $profile == gpu ]] || start=(--init "$out/teacher-3")
    [[ -f $soft ]] || "${mien[@]}" distill "$data" "${asked[@]}" --output "$soft" --config "$recipes/student.toml" ${few[@]+"${few[@]}"}
fi

stage student
learn "$out/student" --config "$recipes/student.toml" --set teachers="$soft" ${start[@]+"${start[@]}"}

stage evaluation
for head in fer2013 ferplus expression; do
    [[ -f $out/evaluation/$head/scores.json ]] ||
        "${mien[@]}" evaluate "$data" --model "$out/student" --head "$head" --robustness --output "$out/evaluation/$head"
done

stage card
"${mien[@]}" card "$data" --model "$out/student" --output "$out/MODEL_CARD.md"
echo "wrote $out/student/export, the model, and $out/MODEL_CARD.md, its card" >&2
