"""Findings about GPUs, alone and in containers."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.language import Catalogue

_CUDA = "sudo apt install nvidia-driver-570"
_TOOLKIT = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"

GPU: Final[Catalogue] = {
    "gpu_none": {
        "ko": "NVIDIA GPU가 없어 CPU로 실행합니다",
        "en": "no NVIDIA GPU: runs on the processor",
    },
    "gpu_no_driver": {
        "ko": f"NVIDIA 카드는 있는데 드라이버가 없어 CPU로 실행됩니다\n{_CUDA} 후 재부팅하세요",
        "en": f"an NVIDIA card without a driver: runs on the processor\n{_CUDA}, then reboot",
    },
    "gpu_silent": {
        "ko": "nvidia-smi가 답하지 않습니다\n재부팅하고, 되풀이되면 sudo dmesg | grep -i NVRM에서 "
        "Xid 오류를 확인하세요",
        "en": "nvidia-smi does not answer\nReboot; if it recurs, look for Xid errors in "
        "sudo dmesg | grep -i NVRM",
    },
    "gpu_mismatch": {
        "ko": "드라이버가 갱신되었는데 예전 커널 모듈이 올라와 있습니다(nvidia-smi {status})\n"
        "재부팅하세요",
        "en": "the driver was updated while its old kernel module is loaded (nvidia-smi "
        "{status})\nReboot",
    },
    "gpu_not_loaded": {
        "ko": "드라이버가 올라와 있지 않습니다(nvidia-smi {status})\n"
        "재부팅하고, 그래도 같으면 sudo apt install --reinstall nvidia-driver-570 후 재부팅하세요. "
        "보안 부팅을 쓴다면 모듈 서명을 등록하세요(mokutil)",
        "en": "the driver is not loaded (nvidia-smi {status})\n"
        "Reboot; if that does not help, sudo apt install --reinstall nvidia-driver-570 and reboot. "
        "With Secure Boot, enrol the module's key (mokutil)",
    },
    "gpu_broken": {
        "ko": "nvidia-smi가 오류 {status}로 끝났습니다\nnvidia-smi를 직접 실행해 확인하세요",
        "en": "nvidia-smi ended with status {status}\nRun nvidia-smi yourself and see",
    },
    "gpu_absent": {
        "ko": "설정이 GPU {index}번을 찾지만 GPU는 {count}개입니다\n"
        "GPU가 하나뿐이면 모두 그 GPU를 쓰고, 여럿이면 CPU로 돕니다. "
        ".env의 OFFICE_GPU 또는 CHARACTER_GPU를 있는 번호로 바꾸세요",
        "en": "the settings name GPU {index}, but there are {count}\n"
        "With one GPU all run on it, with several the processor works instead. "
        "Set OFFICE_GPU or CHARACTER_GPU in .env to one that is there",
    },
    "gpu_old_driver": {
        "ko": "{index}번 {name}: 드라이버 버전이 너무 낮습니다({driver}, 최소 {oldest})\n"
        f"{_CUDA} 후 재부팅하세요",
        "en": "{index} {name}: driver {driver} is older than {oldest}\n"
        f"{_CUDA}, then reboot",
    },
    "gpu_too_old": {
        "ko": "{index}번 {name}: 연산 능력이 너무 낮습니다({capability}, 최소 5.0)\n"
        "GPU_LAYERS=0으로 CPU를 쓰세요",
        "en": "{index} {name}: compute capability {capability} is below 5.0\n"
        "Use the processor with GPU_LAYERS=0",
    },
    "gpu_small": {
        "ko": "{index}번 {name}: {total_gb} GB인데 {needed_gb} GB가 필요합니다\n"
        "MAX_CONCURRENT나 CONTEXT_TOKENS를 줄이거나 GPU_LAYERS를 낮추세요",
        "en": "{index} {name}: has {total_gb} GB, {needed_gb} GB are needed\n"
        "Lower MAX_CONCURRENT, CONTEXT_TOKENS or GPU_LAYERS",
    },
    "gpu_taken": {
        "ko": "{index}번 {name}: {needed_gb} GB가 필요한데 {free_gb} GB만 비어 있습니다\n"
        "nvidia-smi로 GPU를 쓰는 프로그램을 찾아 끄세요",
        "en": "{index} {name}: {needed_gb} GB are needed, {free_gb} GB are free\n"
        "Find what uses it with nvidia-smi and end it",
    },
    "gpu_slow": {
        "ko": "{index}번 {name}: 텐서 코어가 없어 느립니다(연산 능력 {capability})\n"
        "7.0 이상인 GPU를 쓰면 빨라집니다",
        "en": "{index} {name}: slow for want of tensor cores (compute capability {capability})\n"
        "A GPU of 7.0 or newer is faster",
    },
    "gpu_ok": {
        "ko": "{index}번 {name}: {free_gb}/{total_gb} GB 비어 있음, 드라이버 {driver}, "
        "연산 능력 {capability}",
        "en": "{index} {name}: {free_gb} of {total_gb} GB free, driver {driver}, compute "
        "capability {capability}",
    },
    "docker_none": {
        "ko": "도커가 없습니다(도커 없이 make run으로 실행됩니다)",
        "en": "not installed (make run needs none)",
    },
    "docker_unreachable": {
        "ko": "도커 데몬이 답하지 않습니다\nsudo systemctl start docker, 권한 문제라면 "
        "sudo usermod -aG docker $USER 후 다시 로그인하세요",
        "en": "the daemon does not answer\nsudo systemctl start docker; if it is the permission, "
        "sudo usermod -aG docker $USER and log in again",
    },
    "docker_missing": {
        "ko": "도커가 없습니다\nhttps://docs.docker.com/engine/install 에 따라 설치하세요",
        "en": "not installed\ninstall it as https://docs.docker.com/engine/install says",
    },
    "docker_ok": {"ko": "{version}", "en": "{version}"},
    "docker_old": {
        "ko": "Docker Engine {version}은 너무 오래되었습니다\n{oldest} 이상으로 올리세요",
        "en": "Docker Engine {version} is too old\nupgrade it to {oldest} or newer",
    },
    "docker_loopback": {
        "ko": "Docker Engine {version}: 같은 네트워크의 다른 컴퓨터가 127.0.0.1로만 연 포트에 "
        "닿을 수 있습니다\n{since} 이상으로 올리거나, 믿지 못하는 네트워크에서는 키를 만들고 "
        "TRUST_UNKEYED_CALLERS=false로 두세요",
        "en": "Docker Engine {version}: other machines of the same network can reach ports that "
        "are published on 127.0.0.1 alone\nupgrade it to {since} or newer; on a network that you "
        "do not trust make keys and set TRUST_UNKEYED_CALLERS=false until then",
    },
    "compose_old": {
        "ko": "Compose {version}은 너무 오래되었습니다\n{oldest} 이상으로 올리세요: "
        "sudo apt install docker-compose-plugin",
        "en": "Compose {version} is too old\nupgrade it to {oldest} or newer: "
        "sudo apt install docker-compose-plugin",
    },
    "compose_missing": {
        "ko": "Compose v2가 없습니다\nsudo apt install docker-compose-plugin",
        "en": "Compose v2 is missing\nsudo apt install docker-compose-plugin",
    },
    "toolkit_ok": {"ko": "{way}", "en": "{way}"},
    "toolkit_unconfigured": {
        "ko": f"도커가 아직 NVIDIA 툴킷을 쓰지 않아 컨테이너에서 GPU가 보이지 않습니다\n{_TOOLKIT}",
        "en": f"Docker does not use the NVIDIA toolkit yet: containers see no GPU\n{_TOOLKIT}",
    },
    "toolkit_missing": {
        "ko": "NVIDIA Container Toolkit이 없어 컨테이너에서 GPU가 보이지 않습니다\n"
        f"sudo apt install nvidia-container-toolkit && {_TOOLKIT}",
        "en": "the NVIDIA Container Toolkit is missing: containers see no GPU\n"
        f"sudo apt install nvidia-container-toolkit && {_TOOLKIT}",
    },
}
