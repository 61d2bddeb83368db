"""Findings about the machine."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.language import Catalogue

MACHINE: Final[Catalogue] = {
    "too_slow": {
        "ko": "{limit_s:.0f}초 안에 확인하지 못했습니다\n기계가 바쁘지 않을 때 다시 해 보세요",
        "en": "could not be checked within {limit_s:.0f} s\nTry again when it is less busy",
    },
    "broke": {
        "ko": "확인하다가 오류가 났습니다({cause})\n로그를 붙여 알려 주세요",
        "en": "the check itself failed ({cause})\nPlease report it with the log",
    },
    "python_ok": {"ko": "{version}", "en": "{version}"},
    "python_old": {
        "ko": "{version} 버전은 너무 낮습니다\n3.11 이상을 설치하고 가상 환경을 다시 만드세요",
        "en": "{version} is too old\nInstall 3.11 or newer and make the virtual environment anew",
    },
    "cpu_ok": {"ko": "{best} 지원", "en": "has {best}"},
    "cpu_engine": {
        "ko": "추론 엔진에 필요한 명령어가 없습니다: {missing}\n"
        "가상 머신이면 CPU 종류를 host로 바꾸고, 아니면 다른 기계의 엔진을 ENGINE_URL로 쓰세요",
        "en": "lacks what the engine is compiled for: {missing}\n"
        "In a virtual machine set the CPU type to host; else use another machine's engine by "
        "ENGINE_URL",
    },
    "cpu_mongodb": {
        "ko": "AVX가 없어 MongoDB 5 이상이 실행되지 않습니다\n"
        "가상 머신이면 CPU 종류를 host로 바꾸고, 아니면 MONGODB_URL을 비워 내장 SQLite를 쓰세요",
        "en": "has no AVX, which MongoDB 5 and newer need\n"
        "In a virtual machine set the CPU type to host; else leave MONGODB_URL empty for SQLite",
    },
    "kernel_ok": {"ko": "{release}", "en": "{release}"},
    "kernel_mongodb": {
        "ko": "{release} 커널에서는 MongoDB가 죽거나 시작을 거부할 수 있습니다({mongodb}, "
        "SERVER-121912)\nmongo:7.0 이미지를 쓰거나, 커널을 7.0.14 이상으로 올리고 검사가 고쳐진 "
        "8.x를 쓰거나, 컨테이너에 GLIBC_TUNABLES=glibc.pthread.rseq=1을 넣으세요",
        "en": "MongoDB {mongodb} crashes or refuses to start on kernel {release} (SERVER-121912)\n"
        "Use the image mongo:7.0; or a kernel from 7.0.14 on with an 8.x build that knows it; or "
        "set GLIBC_TUNABLES=glibc.pthread.rseq=1 for the container",
    },
    "memory_ok": {
        "ko": "{free_gb} GB 사용 가능(전체 {total_gb}, 필요 {needed_gb})",
        "en": "{free_gb} GB available (of {total_gb}, {needed_gb} needed)",
    },
    "memory_short": {
        "ko": "전체 {total_gb} GB인데 {needed_gb} GB가 필요합니다\n"
        "더 작은 모델(demo)을 쓰거나, GPU를 쓰거나, 컨테이너의 메모리 제한을 늘리세요",
        "en": "{total_gb} GB in all, but {needed_gb} GB are needed\n"
        "Use a smaller model (demo), a GPU, or raise the container's memory limit",
    },
    "memory_taken": {
        "ko": "{needed_gb} GB가 필요한데 지금은 {free_gb} GB만 비어 있습니다\n"
        "메모리를 많이 쓰는 프로그램을 끄세요(ps aux --sort=-rss | head)",
        "en": "{needed_gb} GB are needed and only {free_gb} GB are free now\n"
        "End what takes most of it (ps aux --sort=-rss | head)",
    },
    "disk_ok": {
        "ko": "{folder}: {free_gb} GB 사용 가능(받을 모델 {needed_gb} GB)",
        "en": "{folder}: {free_gb} GB free ({needed_gb} GB of models to come)",
    },
    "disk_tight": {
        "ko": "{folder}: 모델을 받고 나면 5 GB도 남지 않습니다(현재 {free_gb}, 받을 모델 "
        "{needed_gb} GB)\n로그와 대화 기록이 쌓일 자리를 비우세요",
        "en": "{folder}: less than 5 GB remain after the models (free {free_gb}, to come "
        "{needed_gb} GB)\nFree some room for logs and conversations",
    },
    "disk_short": {
        "ko": "{folder}: {free_gb} GB만 비어 있어 모델 {needed_gb} GB를 받을 수 없습니다\n"
        "디스크를 비우거나 MODEL_DIR을 더 큰 디스크로 바꾸세요",
        "en": "{folder}: {free_gb} GB are free, but {needed_gb} GB of models are to come\n"
        "Free some room, or set MODEL_DIR to a larger disk",
    },
    "memlock_ok": {"ko": "가능", "en": "permitted"},
    "memlock_short": {
        "ko": "한도가 {limit_mb} MB라 모델 {needed_gb} GB를 고정하지 못합니다(실행은 됩니다)\n"
        "/etc/security/limits.conf에 memlock unlimited, 서비스에는 LimitMEMLOCK=infinity, "
        "도커에는 ulimits: memlock: -1을 넣으세요",
        "en": "the limit of {limit_mb} MB is below the model's {needed_gb} GB (it runs without)\n"
        "Set memlock unlimited in /etc/security/limits.conf, LimitMEMLOCK=infinity for a systemd "
        "unit, or ulimits: memlock: -1 for a container",
    },
}
