// Every text of the page, in Korean and English.
import { PARTICLE_PATTERN, chooseParticle } from "./app/particles.js";
import { getState } from "./app/store.js";

const MESSAGES = {
  // frame
  office: ["업무 도우미", "Work assistant"],
  character: ["캐릭터", "Character"],
  characters: ["캐릭터", "Characters"],
  new_chat: ["새 대화", "New chat"],
  open_menu: ["메뉴 열기", "Open the menu"],
  close_menu: ["메뉴 닫기", "Close the menu"],
  menu: ["대화 목록과 메뉴", "Conversations and menu"],
  skip: ["입력란으로 건너뛰기", "Skip to the message field"],
  settings: ["설정", "Settings"],
  conversations: ["대화", "Conversations"],
  search_characters: ["캐릭터 검색", "Search characters"],
  no_character_matches: ["일치하는 캐릭터가 없습니다.", "No matching characters."],
  search_chats: ["대화 검색", "Search conversations"],
  no_chats: ["아직 나눈 대화가 없습니다.", "No conversations yet."],
  no_matches: ["일치하는 대화가 없습니다.", "No matching conversations."],
  more: ["더 보기", "Show more"],
  earlier: ["이전 메시지 더 보기", "Show earlier messages"],
  today: ["오늘", "Today"],
  yesterday: ["어제", "Yesterday"],
  this_week: ["지난 7일", "Past 7 days"],
  older: ["이전", "Earlier"],
  options_of: ["‘{title}’ 메뉴", "Menu for “{title}”"],
  rename: ["이름 바꾸기", "Rename"],
  export_markdown: ["문서로 내보내기 (Markdown)", "Export as a document (Markdown)"],
  export_jsonl: ["데이터로 내보내기 (JSONL)", "Export as data (JSONL)"],
  delete: ["삭제", "Delete"],
  cancel: ["취소", "Cancel"],
  save: ["저장", "Save"],
  close: ["닫기", "Close"],
  title_label: ["대화 이름", "Conversation name"],
  delete_chat: ["이 대화를 삭제할까요?", "Delete this conversation?"],
  delete_chat_text: [
    "‘{title}’의 모든 내용이 삭제되며 되돌릴 수 없습니다.",
    "“{title}” will be permanently deleted.",
  ],
  // settings
  language: ["언어", "Language"],
  theme: ["테마", "Theme"],
  theme_auto: ["기기 설정에 맞춤", "Match device"],
  theme_light: ["밝게", "Light"],
  theme_dark: ["어둡게", "Dark"],
  my_name: ["내 이름", "My name"],
  default_user: ["사용자", "User"],
  my_name_hint: ["캐릭터가 이 이름으로 부릅니다.", "Characters call you by this name."],
  key: ["API 키", "API key"],
  key_forget: ["이 브라우저에서 API 키 삭제", "Remove the API key from this browser"],
  key_title: ["API 키가 필요합니다", "API key required"],
  key_text: [
    "이 서버를 사용하려면 API 키가 필요합니다. 운영자에게 받은 API 키를 한 번 입력하면 이 브라우저에 저장됩니다.",
    "This server requires an API key. Enter the one your operator gave you. It is stored in this browser.",
  ],
  key_wrong: ["올바르지 않은 API 키입니다. 다시 확인해 주세요.", "This API key is not valid. Check it and try again."],
  key_enter: ["시작하기", "Continue"],
  // talking
  welcome: ["무엇을 도와드릴까요?", "What can I help with?"],
  welcome_text: [
    "글쓰기, 번역, 수식, 아이디어까지. 편하게 물어보세요.",
    "Writing, translation, formulas, ideas. Just ask.",
  ],
  ai_notice: [
    "답변은 생성형 AI가 작성하며 틀릴 수 있습니다. 중요한 내용은 직접 확인하세요.",
    "Answers are written by a generative AI and can be wrong. Check what matters.",
  ],
  ai_mark: ["AI 생성", "AI-generated"],
  other_language: [
    "지금 연결된 모델({model})은 한국어를 할 수 있다고 밝히지 않은 모델입니다. 한국어 답변이 서툴 수 있습니다.",
    "The model in use ({model}) does not claim to speak English, so expect poor answers.",
  ],
  english_alone: [
    "지금 연결된 모델({model})은 한국어를 하지 못합니다. 설치가 잘되었는지 확인하는 용도이며, 무엇을 물어도 영어로 짧게만 답합니다.",
    "The model in use ({model}) speaks English alone.",
  ],
  other_language_remedy: [
    "한국어로 답하는 모델로 바꾸려면 운영자가 이 컴퓨터의 터미널에서 아래 명령을 실행하면 됩니다.",
    "To switch to a model that does, the operator runs this in a terminal on this computer.",
  ],
  other_language_docker: ["Docker Compose로 실행한다면:", "With Docker Compose:"],
  idea_mail: ["정중한 메일 쓰기", "Write a polite email"],
  idea_mail_text: [
    "거래처에 회의 일정을 다음 주로 미루자고 정중하게 부탁하는 메일을 써 줘.",
    "Write a polite email asking a client to move our meeting to next week.",
  ],
  idea_translate: ["한 문장 번역하기", "Translate a sentence"],
  idea_translate_text: [
    "“검토한 뒤 다음 주 수요일까지 답을 드리겠습니다.”를 공손한 영어 메일 문장으로 옮겨 줘.",
    "Translate “We will review it and reply by next Wednesday” into polite Korean for an email.",
  ],
  idea_sheet: ["엑셀 수식 만들기", "Write a formula"],
  idea_sheet_text: [
    "엑셀에서 B열의 날짜가 이번 달인 행만 C열 금액을 더하는 수식을 알려 줘.",
    "Give me a spreadsheet formula that sums column C where the date in column B is this month.",
  ],
  idea_outline: ["발표 목차 짜기", "Outline a talk"],
  idea_outline_text: [
    "신입 사원에게 회사 보안 수칙을 알려 주는 10분 발표의 목차를 다섯 항목으로 짜 줘.",
    "Outline a ten-minute talk on office security for new colleagues in five points.",
  ],
  ask_office: ["메시지를 입력하세요", "Type a message"],
  ask_character: ["{name}에게 말하기", "Talk to {name}"],
  message_label: ["메시지", "Message"],
  send: ["보내기", "Send"],
  stop: ["중지", "Stop"],
  web_search: ["웹 검색", "Web search"],
  enter_hint: ["Enter로 보내고 Shift+Enter로 줄을 바꿉니다", "Enter to send, Shift+Enter for a new line"],
  count: ["{count}/{limit}자", "{count} of {limit} characters"],
  too_long: [
    "한 번에 {limit}자까지 보낼 수 있습니다 (현재 {count}자)",
    "Messages can be up to {limit} characters long ({count} now)",
  ],
  you: ["나", "You"],
  answer: ["답변", "Answer"],
  writing: ["답변을 작성하고 있습니다", "Writing an answer"],
  waiting: ["답변을 준비하고 있습니다", "Preparing an answer"],
  searching: ["웹에서 검색하고 있습니다", "Searching the web"],
  queued: ["대기 {position}번째", "Number {position} in the queue"],
  queued_wait: ["대기 {position}번째 · 약 {wait} 뒤", "Number {position} in the queue · about {wait}"],
  seconds: ["{n}초", "{n} s"],
  minutes: ["{n}분", "{n} min"],
  reconnecting: ["다시 연결하고 있습니다", "Reconnecting"],
  copy: ["복사", "Copy"],
  copied: ["복사했습니다.", "Copied."],
  code: ["코드", "Code"],
  edit: ["수정 후 다시 보내기", "Edit and resend"],
  edit_label: ["수정할 메시지", "Message to edit"],
  edit_early: ["이후 메시지가 삭제됩니다", "Later messages will be deleted"],
  edit_early_text: [
    "수정한 메시지를 보내면 이후 메시지 {n}개가 삭제되며 되돌릴 수 없습니다.",
    "Sending the edited message permanently deletes the {n} messages after it.",
  ],
  regenerate: ["답변 다시 생성", "Regenerate answer"],
  continue: ["이어서 쓰기", "Continue"],
  previous_answer: ["이전 답변", "Previous answer"],
  next_answer: ["다음 답변", "Next answer"],
  previous_greeting: ["이전 첫인사", "Previous greeting"],
  next_greeting: ["다음 첫인사", "Next greeting"],
  of: ["{n}/{all}", "{n}/{all}"],
  nth_answer: ["답변 {all}개 중 {n}번째", "Answer {n} of {all}"],
  nth_greeting: ["첫인사 {all}개 중 {n}번째", "Greeting {n} of {all}"],
  interrupted: ["여기서 중단되었습니다", "Stopped here"],
  cut: ["길이 한도에 도달해 중단되었습니다", "Stopped at the length limit"],
  left_out: [
    "이전 메시지 {n}개는 길이 한도를 넘어 이번 답변에서 제외되었습니다.",
    "{n} earlier messages exceeded the length limit and were not used for this answer.",
  ],
  left_out_title: [
    "길이 한도의 {share}%를 사용했습니다.",
    "{share}% of the length limit was used.",
  ],
  search_unavailable: [
    "웹 검색에 실패해 검색 없이 답변했습니다.",
    "The web search failed. This answer does not use it.",
  ],
  search_disabled: [
    "이 서버에는 웹 검색이 설정되어 있지 않아 검색 없이 답변했습니다.",
    "Web search is not configured on this server. This answer does not use it.",
  ],
  search_empty: [
    "검색 결과가 없어 검색 없이 답변했습니다.",
    "The search found nothing. This answer does not use it.",
  ],
  search_left_out: [
    "검색 결과가 너무 길어 제외하고 답변했습니다.",
    "The search results were too long and were left out of this answer.",
  ],
  search_snippets_only: [
    "페이지를 읽지 못해 검색 요약만 참고해 답변했습니다.",
    "The pages could not be read. This answer uses only the search excerpts.",
  ],
  sources: ["출처", "Sources"],
  source_n: ["출처 {n}: {title}", "Source {n}: {title}"],
  retry: ["다시 시도", "Try again"],
  retry_in: ["{n}초 뒤 다시 시도", "Try again in {n} s"],
  to_newest: ["최근 메시지로 이동", "Jump to the latest message"],
  load_failed: ["대화를 불러오지 못했습니다.", "The conversation could not be loaded."],
  connection_lost: [
    "서버와의 연결이 끊겼습니다. 네트워크를 확인하고 다시 시도해 주세요.",
    "The connection to the server was lost. Check the network and try again.",
  ],
  error_unknown: [
    "알 수 없는 문제가 발생했습니다. 잠시 후 다시 시도해 주세요.",
    "Something went wrong. Please try again in a moment.",
  ],
  // characters
  gallery_text: [
    "대화할 캐릭터를 고르거나 새로 만들어 보세요.",
    "Choose a character to talk to, or create one.",
  ],
  new_character: ["새 캐릭터", "New character"],
  import: ["가져오기", "Import"],
  import_hint: ["PNG · JSON · CHARX 카드", "PNG, JSON or CHARX card"],
  drop_here: ["카드 파일을 여기에 놓으면 가져옵니다", "Drop a card here to import it"],
  empty_gallery: ["아직 캐릭터가 없습니다", "No characters yet"],
  empty_gallery_text: [
    "이름과 첫인사만 있으면 만들 수 있습니다. 캐릭터 카드를 끌어다 놓아도 됩니다.",
    "A name and a greeting are enough. You can also drop a character card here.",
  ],
  imported: ["‘{name}’을(를) 가져왔습니다.", "Imported “{name}”."],
  talk: ["대화 시작", "Start a conversation"],
  edit_character: ["수정", "Edit"],
  export: ["내보내기", "Export"],
  delete_character: ["이 캐릭터를 삭제할까요?", "Delete this character?"],
  delete_character_text: [
    "‘{name}’이(가) 삭제됩니다. 나눈 대화는 그대로 남습니다.",
    "“{name}” will be deleted. Your conversations are kept.",
  ],
  name: ["이름", "Name"],
  greeting: ["첫인사", "Greeting"],
  greeting_hint: [
    "캐릭터의 첫 메시지입니다. *행동*과 “대사”를 함께 쓸 수 있고, {{user}}는 내 이름으로 바뀝니다.",
    "The character's first message. Use *actions* and “speech”; {{user}} is replaced with your name.",
  ],
  alternate_greeting: ["다른 첫인사 {n}", "Alternate greeting {n}"],
  add_greeting: ["첫인사 추가", "Add a greeting"],
  remove_greeting: ["첫인사 {n} 삭제", "Remove greeting {n}"],
  context: ["캐릭터 설정", "Character description"],
  context_hint: [
    "성격, 말투, 관계, 배경을 적어 주세요. 대화 내내 적용됩니다.",
    "Personality, way of speaking, relationships, background. Applies to the whole conversation.",
  ],
  notes: ["제작자 노트", "Creator's notes"],
  notes_hint: ["사용자에게 보여 주는 글이며 답변에는 쓰이지 않습니다.", "Shown to users, not used in answers."],
  picture: ["이미지", "Picture"],
  choose_picture: ["이미지 선택", "Choose a picture"],
  remove_picture: ["이미지 삭제", "Remove the picture"],
  picture_unreadable: [
    "이 이미지는 열 수 없습니다. PNG, JPEG, WebP, GIF 파일을 선택해 주세요.",
    "This picture cannot be opened. Choose a PNG, JPEG, WebP or GIF file.",
  ],
  file_too_large: ["파일이 너무 큽니다. {limit}까지 올릴 수 있습니다.", "The file is too large. The limit is {limit}."],
  character_gone: [
    "이 대화의 캐릭터가 삭제되어 대화를 계속할 수 없습니다.",
    "This conversation cannot continue because its character was deleted.",
  ],
  picture_of: ["{name}의 이미지", "Picture of {name}"],
  choose_greeting: ["첫인사 선택", "Choose a greeting"],
  by: ["제작자 {name}", "By {name}"],
  back: ["뒤로", "Back"],
};

const PLACEHOLDER = new RegExp(`\\{(\\w+)\\}(?:([’”]?)(${PARTICLE_PATTERN}))?`, "g");

/** The text of `key` in the selected language. `{name}` is replaced from `values`, and a Korean
 * particle after it is chosen by the last sound of the value. */
export function t(key, values = {}) {
  const found = MESSAGES[key];
  if (!found) return key;
  const text = found[getState().language === "en" ? 1 : 0];
  return text.replace(PLACEHOLDER, (whole, name, quote = "", marked = "") => {
    const value = values[name];
    if (value === undefined || value === null) return whole;
    return `${value}${quote}${marked && chooseParticle(String(value), marked)}`;
  });
}
