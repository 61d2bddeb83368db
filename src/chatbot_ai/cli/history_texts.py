"""What `chatbot-ai history` says, in Korean and English."""

TEXTS: dict[str, dict[str, str]] = {
    "exporting": {"ko": "백업 중", "en": "Backing up"},
    "exported": {
        "ko": "대화 {turns}건을 {file}에 저장했습니다.",
        "en": "Saved {turns} turns to {file}.",
    },
    "copying": {"ko": "복사 중", "en": "Copying"},
    "confirm_delete": {
        "ko": "사용자 {user}의 대화와 캐릭터를 모두 삭제할까요? 되돌릴 수 없습니다.",
        "en": "Delete every conversation and character of user {user}? This cannot be undone.",
    },
    "deleted": {"ko": "대화 {turns}건을 삭제했습니다.", "en": "Deleted {turns} turns."},
    "forgotten": {
        "ko": "저장을 기다리던 대화 {waiting}건과 캐릭터 {characters}개를 삭제했습니다.",
        "en": "Deleted {waiting} turns that waited to be stored, and {characters} characters.",
    },
    "waiting": {
        "ko": "주의: 대화 {count}건이 데이터베이스를 기다리고 있어 이 백업에 없습니다. "
        "서비스가 저장한 뒤에 다시 백업하세요.",
        "en": "Attention: {count} turns still wait for the database and are not in this backup; "
        "make another one when the services have stored them.",
    },
    "dry_run": {
        "ko": "시험 실행입니다. 아무것도 쓰지 않았습니다. 실제로 이전하려면 --apply를 붙이세요.",
        "en": "This was a dry run; nothing was written. Add --apply to do it.",
    },
    "tally": {
        "ko": "대화방 {conversations}개, 읽음 {read}건: 기록 {written}, 이미 있음 {present}, "
        "내용 다름 {different}, 충돌 {conflicts}, 건너뜀 {skipped}, 부족한 대화방 {incomplete}",
        "en": "{conversations} conversations, {read} turns read: {written} written, "
        "{present} already there, {different} there with other contents, "
        "{conflicts} in conflict, {skipped} skipped, {incomplete} conversations incomplete",
    },
    "source": {
        "ko": "원본: 대화방 {conversations}개, 대화 {turns}건.",
        "en": "The source holds {conversations} conversations with {turns} turns.",
    },
    "different": {"ko": "내용 다름", "en": "other contents"},
    "conflicts": {"ko": "충돌", "en": "conflict"},
    "incomplete": {"ko": "부족", "en": "incomplete"},
    "skipped": {"ko": "건너뜀", "en": "skipped"},
    "agrees": {"ko": "개수가 일치합니다.", "en": "The counts agree."},
    "disagrees": {
        "ko": "개수가 일치하지 않습니다. 위의 내용 다름·충돌·건너뜀·부족 항목을 확인하세요.",
        "en": "The counts do not agree; see above what differs, conflicts or is missing.",
    },
    "unavailable": {
        "ko": "저장소를 사용할 수 없습니다: {reason}",
        "en": "The store is unavailable: {reason}",
    },
    "bad_input": {"ko": "잘못된 입력입니다: {reason}", "en": "Invalid input: {reason}"},
}
