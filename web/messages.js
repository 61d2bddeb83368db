// Every sentence of the page, in Korean and English.
import { MARKED, particle } from "./app/particles.js";
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
  search_characters: ["캐릭터 찾기", "Search characters"],
  no_character_matches: ["찾는 캐릭터가 없습니다.", "No character matches."],
  search_chats: ["대화 찾기", "Search conversations"],
  no_chats: ["아직 나눈 대화가 없습니다.", "No conversations yet."],
  no_matches: ["찾는 대화가 없습니다.", "No conversation matches."],
  more: ["더 보기", "Show more"],
  earlier: ["이전 대화 더 보기", "Show earlier turns"],
  today: ["오늘", "Today"],
  yesterday: ["어제", "Yesterday"],
  this_week: ["지난 7일", "Past 7 days"],
  older: ["이전", "Earlier"],
  options_of: ["‘{title}’ 더 보기", "More for “{title}”"],
  rename: ["이름 바꾸기", "Rename"],
  export_markdown: ["문서로 내보내기", "Export as a document"],
  export_jsonl: ["데이터로 내보내기 (JSONL)", "Export as data (JSONL)"],
  delete: ["삭제", "Delete"],
  cancel: ["취소", "Cancel"],
  save: ["저장", "Save"],
  close: ["닫기", "Close"],
  title_label: ["대화 이름", "Name of the conversation"],
  delete_chat: ["이 대화를 지울까요?", "Delete this conversation?"],
  delete_chat_text: [
    "‘{title}’의 모든 내용이 지워지고 되돌릴 수 없습니다.",
    "All of “{title}” will be gone for good.",
  ],
  // settings
  language: ["언어", "Language"],
  theme: ["화면 테마", "Theme"],
  theme_auto: ["기기 설정", "As the device"],
  theme_light: ["밝게", "Light"],
  theme_dark: ["어둡게", "Dark"],
  my_name: ["내 이름", "My name"],
  default_user: ["사용자", "User"],
  my_name_hint: ["캐릭터가 이 이름으로 부릅니다.", "Characters call you by this name."],
  key: ["API 키", "API key"],
  key_forget: ["이 브라우저에서 키 지우기", "Forget the key in this browser"],
  key_title: ["키가 필요합니다", "A key is needed"],
  key_text: [
    "이 서버는 키가 있어야 쓸 수 있습니다. 관리자에게 받은 키를 한 번만 넣으면 이 브라우저에 저장됩니다.",
    "This server asks for a key. Enter the one your operator gave you; this browser keeps it.",
  ],
  key_wrong: ["맞지 않는 키입니다. 다시 확인해 주세요.", "This key is not valid. Please check it."],
  key_enter: ["시작하기", "Continue"],
  // talking
  welcome: ["무엇을 도와드릴까요?", "What can I help with?"],
  welcome_text: [
    "글쓰기, 번역, 수식, 아이디어까지. 편하게 물어보세요.",
    "Writing, translation, formulas, ideas. Just ask.",
  ],
  idea_mail: ["정중한 메일 쓰기", "Write a polite mail"],
  idea_mail_text: [
    "거래처에 회의 일정을 다음 주로 미루자고 정중하게 부탁하는 메일을 써 줘.",
    "Write a polite mail asking a client to move our meeting to next week.",
  ],
  idea_translate: ["한 문장 번역하기", "Translate a sentence"],
  idea_translate_text: [
    "“검토한 뒤 다음 주 수요일까지 답을 드리겠습니다.”를 공손한 영어 메일 문장으로 옮겨 줘.",
    "Put “We will review it and reply by next Wednesday” into polite Korean for a mail.",
  ],
  idea_sheet: ["엑셀 수식 만들기", "Make a formula"],
  idea_sheet_text: [
    "엑셀에서 B열의 날짜가 이번 달인 행만 C열 금액을 더하는 수식을 알려 줘.",
    "Give me a spreadsheet formula that sums column C where the date in column B is this month.",
  ],
  idea_outline: ["발표 목차 짜기", "Outline a talk"],
  idea_outline_text: [
    "신입 사원에게 회사 보안 수칙을 알려 주는 10분 발표의 목차를 다섯 항목으로 짜 줘.",
    "Outline a ten-minute talk on office security for new colleagues in five points.",
  ],
  ask_office: ["메시지를 입력하세요", "Write a message"],
  ask_character: ["{name}에게 말하기", "Talk to {name}"],
  message_label: ["메시지", "Message"],
  send: ["보내기", "Send"],
  stop: ["멈추기", "Stop"],
  web_search: ["웹 검색", "Web search"],
  enter_hint: ["Enter로 보내고 Shift+Enter로 줄을 바꿉니다", "Enter sends, Shift+Enter makes a line"],
  count: ["{count}/{limit}자", "{count} of {limit} characters"],
  too_long: [
    "한 번에 {limit}자까지 보낼 수 있습니다 (지금 {count}자)",
    "A message may have {limit} characters (this one: {count})",
  ],
  you: ["나", "You"],
  answer: ["답변", "Answer"],
  writing: ["답변을 쓰고 있습니다", "Writing an answer"],
  waiting: ["답변을 준비하고 있습니다", "Preparing an answer"],
  searching: ["웹에서 찾고 있습니다", "Searching the web"],
  queued: ["대기 {position}번째", "Number {position} in the queue"],
  queued_wait: ["대기 {position}번째 · 약 {wait} 뒤", "Number {position} in the queue · about {wait}"],
  seconds: ["{n}초", "{n} s"],
  minutes: ["{n}분", "{n} min"],
  reconnecting: ["연결이 끊겨 다시 잇고 있습니다", "Reconnecting"],
  copy: ["복사", "Copy"],
  copied: ["복사했습니다.", "Copied."],
  code: ["코드", "code"],
  edit: ["고쳐서 다시 보내기", "Edit and send again"],
  edit_label: ["고칠 메시지", "Message to edit"],
  edit_early: ["뒤의 대화가 지워집니다", "Later turns will be deleted"],
  edit_early_text: [
    "이 메시지를 고쳐서 보내면 그 뒤에 나눈 대화 {n}개가 지워지고 되돌릴 수 없습니다.",
    "Sending the edited message deletes the {n} turns after it for good.",
  ],
  regenerate: ["다시 답변받기", "Answer again"],
  proceed: ["이어서 쓰기", "Continue"],
  previous_answer: ["이전 답변", "Previous answer"],
  next_answer: ["다음 답변", "Next answer"],
  previous_greeting: ["이전 첫인사", "Previous greeting"],
  next_greeting: ["다음 첫인사", "Next greeting"],
  of: ["{n}/{all}", "{n}/{all}"],
  nth_answer: ["답변 {all}개 중 {n}번째", "Answer {n} of {all}"],
  nth_greeting: ["첫인사 {all}개 중 {n}번째", "Greeting {n} of {all}"],
  interrupted: ["여기서 멈췄습니다", "Stopped here"],
  cut: ["길이 한도에서 멈췄습니다", "Stopped at the length limit"],
  left_out: [
    "앞의 대화 {n}개는 길이 한도를 넘어 이번 답변에 쓰이지 않았습니다.",
    "{n} earlier turns did not fit and were left out of this answer.",
  ],
  left_out_title: [
    "한 번에 읽을 수 있는 분량의 {share}%를 썼습니다.",
    "{share}% of what can be read at once was used.",
  ],
  search_unavailable: [
    "웹 검색이 되지 않아 검색 없이 답했습니다.",
    "The web search failed; this answer was given without it.",
  ],
  search_disabled: [
    "이 서버에는 웹 검색이 설정되어 있지 않아 검색 없이 답했습니다.",
    "Web search is not set up here; this answer was given without it.",
  ],
  search_empty: [
    "검색 결과가 없어 검색 없이 답했습니다.",
    "The search found nothing; this answer was given without it.",
  ],
  search_left_out: [
    "찾은 자료가 길이 한도를 넘어 검색 없이 답했습니다.",
    "What was found did not fit; this answer was given without it.",
  ],
  search_snippets_only: [
    "페이지를 읽지 못해 검색 요약만 보고 답했습니다.",
    "Pages could not be read; only the search's excerpts were used.",
  ],
  sources: ["출처", "Sources"],
  source_n: ["출처 {n}: {title}", "Source {n}: {title}"],
  retry: ["다시 시도", "Try again"],
  retry_in: ["{n}초 뒤 다시 시도", "Try again in {n} s"],
  to_newest: ["최근 메시지로", "To the newest message"],
  load_failed: ["대화를 불러오지 못했습니다.", "The conversation could not be loaded."],
  connection_lost: [
    "서버와 연결이 끊겼습니다. 네트워크를 확인하고 다시 시도해 주세요.",
    "The connection to the server was lost. Check the network and try again.",
  ],
  error_unknown: [
    "알 수 없는 문제가 생겼습니다. 잠시 후 다시 시도해 주세요.",
    "Something went wrong. Please try again in a moment.",
  ],
  // characters
  gallery_text: [
    "이야기하고 싶은 캐릭터를 고르거나 새로 만들어 보세요.",
    "Choose someone to talk to, or make a new one.",
  ],
  new_character: ["새 캐릭터", "New character"],
  import: ["가져오기", "Import"],
  import_hint: ["PNG · JSON · CHARX 카드", "PNG, JSON or CHARX card"],
  drop_here: ["여기에 놓으면 카드를 가져옵니다", "Drop a card here to import it"],
  empty_gallery: ["아직 캐릭터가 없습니다", "No characters yet"],
  empty_gallery_text: [
    "이름과 첫인사만 있으면 됩니다. 가지고 있는 캐릭터 카드를 끌어다 놓아도 됩니다.",
    "A name and a greeting are enough. You can also drop a character card here.",
  ],
  imported: ["‘{name}’을(를) 가져왔습니다.", "Imported “{name}”."],
  talk: ["대화 시작", "Start talking"],
  edit_character: ["고치기", "Edit"],
  export: ["내보내기", "Export"],
  delete_character: ["이 캐릭터를 지울까요?", "Delete this character?"],
  delete_character_text: [
    "‘{name}’이(가) 지워집니다. 나눈 대화는 남습니다.",
    "“{name}” will be deleted. Your conversations stay.",
  ],
  name: ["이름", "Name"],
  greeting: ["첫인사", "Greeting"],
  greeting_hint: [
    "캐릭터가 먼저 건네는 말. *행동*과 “대사”를 섞어 쓸 수 있고, {{user}}는 내 이름이 됩니다.",
    "What the character says first. Mix *actions* and “speech”; {{user}} becomes your name.",
  ],
  alternate_greeting: ["다른 첫인사 {n}", "Other greeting {n}"],
  add_greeting: ["첫인사 추가", "Add a greeting"],
  remove_greeting: ["첫인사 {n} 삭제", "Remove greeting {n}"],
  context: ["설정", "Who the character is"],
  context_hint: [
    "성격, 말투, 관계, 배경. 대화 내내 캐릭터가 기억합니다.",
    "Nature, manner of speaking, relations, background. The character keeps to it.",
  ],
  notes: ["만든 이의 말", "Creator's notes"],
  notes_hint: ["읽는 사람을 위한 글이며 대화에는 쓰이지 않습니다.", "For readers; not used in talks."],
  picture: ["이미지", "Picture"],
  choose_picture: ["이미지 고르기", "Choose a picture"],
  remove_picture: ["이미지 삭제", "Remove the picture"],
  picture_unreadable: [
    "이 이미지는 열 수 없습니다. PNG, JPEG, WebP, GIF 파일을 골라 주세요.",
    "This picture cannot be opened. Choose a PNG, JPEG, WebP or GIF.",
  ],
  file_too_large: ["파일이 너무 큽니다. 8 MB까지 받을 수 있습니다.", "The file is larger than 8 MB."],
  character_gone: [
    "이 대화의 캐릭터가 지워져 더 이야기할 수 없습니다.",
    "This conversation's character was deleted, so it cannot go on.",
  ],
  picture_of: ["{name}의 이미지", "Picture of {name}"],
  choose_greeting: ["첫인사 고르기", "Choose a greeting"],
  by: ["만든 이 {name}", "By {name}"],
  back: ["뒤로", "Back"],
};

const PLACE = new RegExp(`\\{(\\w+)\\}(?:([’”]?)(${MARKED}))?`, "g");

/** A sentence in the reader's language, with `{name}` filled in from `values` and a particle
 * behind it chosen by the value's last sound. */
export function t(key, values = {}) {
  const found = MESSAGES[key];
  if (!found) return key;
  const text = found[getState().language === "en" ? 1 : 0];
  return text.replace(PLACE, (whole, name, quote = "", marked = "") => {
    const value = values[name];
    if (value === undefined || value === null) return whole;
    return `${value}${quote}${marked && particle(String(value), marked)}`;
  });
}
