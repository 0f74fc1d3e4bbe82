#!/usr/bin/env bash
# A throw-away Slurm of several nodes on the loopback of this machine (root; Debian: slurm-wlm and munge):
#   tests/slurm_local.sh start FOLDER [NODES]     then export SLURM_CONF=FOLDER/slurm.conf
#   tests/slurm_local.sh stop FOLDER
set -euo pipefail
action=$1 folder=$2 nodes=${3:-2}
host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

if [ "$action" = stop ]; then
    scancel --user=root || true
    for _ in $(seq 60); do
        [ -z "$(squeue --noheader || true)" ] && break
        sleep 0.5
    done
    daemons=$(cat "$folder"/*.pid 2>/dev/null || true)
    kill $daemons 2>/dev/null || true
    for _ in $(seq 60); do # until they have saved their state
        kill -0 $daemons 2>/dev/null || break
        sleep 0.5
    done
    exit 0
fi

mkdir -p "$folder"/state "$folder"/log
grep -qw "$host" /etc/hosts || echo "127.0.0.1 $host" >>/etc/hosts
read -r -a ports < <(python3 -c "
import socket
sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range($nodes + 1)]
print(*(taken.getsockname()[1] for taken in sockets))")
cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdTimeout=30
KillWait=5
JobRequeue=1
CONF
for number in $(seq "$nodes"); do
    mkdir -p "$folder/spool.n$number"
    echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[$number]} CPUs=1 RealMemory=8000 State=UNKNOWN"
done >>"$SLURM_CONF"
echo "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$SLURM_CONF"

[ -f "$folder/munge.key" ] || (umask 377 && head -c 1024 /dev/urandom >"$folder/munge.key")
munged --force --socket "$folder/munge.sock" --key-file "$folder/munge.key" --pid-file "$folder/munged.pid" \
    --log-file "$folder/log/munged.log" --seed-file "$folder/munge.seed" </dev/null >/dev/null 2>&1
slurmctld -f "$SLURM_CONF" -c </dev/null >/dev/null 2>&1
for number in $(seq "$nodes"); do
    slurmd -N "n$number" -f "$SLURM_CONF" </dev/null >/dev/null 2>&1
done
for _ in $(seq 120); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null | head -1)" = "$nodes" ] && exit 0
    sleep 0.5
done
echo "slurm_local.sh: the nodes did not come up; see $folder/log" >&2
exit 1
