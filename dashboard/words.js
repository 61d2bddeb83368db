const WORDS = {
  ko: {
    skip: '본문으로', title: '운영 현황', language: '언어', theme: '화면', auto: '자동', light: '밝게', dark: '어둡게',
    live: '실시간 · {when} 갱신', paused: '이 탭이 가려져 멈췄습니다', loading: '불러오는 중',
    trouble: '일부 서비스에서 값을 받지 못하고 있습니다', offline: '게이트웨이에 연결할 수 없습니다', locked: '운영자 키를 기다립니다',
    office: '오피스', character: '캐릭터', office_note: '업무 도우미', character_note: '역할극',
    ok: '정상', model_down: '모델이 준비되지 않음', store_down: '대화 저장소 오류', full: '대기열이 가득 참', outbox: '저장 대기 중인 답변 있음', errors: '방금 오류가 있었음', stale: '응답 없음',
    unreachable: '아직 값을 받지 못했습니다. {why}', old: '{age} 전의 값입니다. {why}',
    why_offline: '연결할 수 없습니다.', why_timeout: '5초 안에 응답하지 않습니다.', why_status: '서비스가 {status}(으)로 응답했습니다.', why_denied: '이 키로는 볼 수 없습니다.',
    running: '실행 중', waiting: '대기', of: '/ {n}', expected: '새 요청의 예상 대기 {s}', expected_none: '새 요청은 바로 시작', expected_unknown: '예상 대기는 첫 답변 뒤에',
    per_hour: '시간당 답변', success: '성공률', speed: '초당 토큰', speed_note: '답변 하나 기준', cache: '캐시 재사용', cache_note: '프롬프트 토큰 중', in_window: '최근 15분', answers_n: '답변 {n}건', tried_n: '{n}건 중',
    latency: '걸린 시간', latency_caption: '최근 15분, 완료된 답변', total: '전체', queue: '대기', first: '첫 글자', p50: '중앙값', p95: '95%', p99: '99%',
    c_load: '실행과 대기', c_time: '응답 시간', c_results: '요청 결과', c_tokens: '초당 만든 토큰', now: '지금', last: '최근', peak: '최고', none_yet: '아직 없음',
    k_running: '실행', k_waiting: '대기', k_p50: '중앙값', k_p95: '95%', k_answered: '답변', k_refused: '거절', k_failed: '실패', k_cancelled: '취소', k_tokens: '토큰/초',
    table: '표로 보기', time: '시각', chart_label: '{title}, 최근 15분. {text}',
    outcomes: '최근 15분의 결과', o_answered: '답변 완료', o_refused: '거절 (자리 없음)', o_limited: '호출자 한도', o_cancelled: '호출자가 떠남', o_failed: '실패', causes: '원인',
    parts: '구성 요소', model: '모델', store: '대화 저장소', engine: '엔진', restarts: '엔진 재시작', service_restarts: '서비스 재시작', slots: '슬롯', outbox_turns: '저장 대기 답변', uptime: '가동 시간', version: '버전', wasted: '버려진 토큰',
    yes: '정상', engine_ready: '실행 중', engine_starting: '시작하는 중', engine_waiting: '다시 시작 대기', engine_stopped: '멈춤', engine_elsewhere: '이 서비스 밖에서 실행', unknown: '이 서비스는 알지 못함', n_items: '{n}건', n_times: '{n}번', n_slots: '{n}개',
    recent: '최근 오류', no_errors: '서비스가 시작된 뒤 오류가 없습니다.', ago: '{age} 전', times: '{n}번, 마지막 {age} 전',
    reports: '부하 시험 보고서', reports_lead: '마지막 보고서: {when}', open_report: '보고서 열기', save_report: '보고서 내려받기', no_report: '아직 보고서가 없습니다. chatbot-ai loadtest character 를 실행하면 여기에 나타납니다.', report_failed: '보고서를 읽지 못했습니다 ({status}).',
    gate: '운영자 키', gate_lead: '이 컴퓨터 밖에서 열었거나 키가 설정되어 있어, 운영자 키가 있어야 값을 볼 수 있습니다. 키는 이 탭에만 남고 탭을 닫으면 사라집니다.', gate_user: '이 키는 사용자 키입니다. 운영자(백엔드) 키가 필요합니다.', gate_wrong: '올바른 키가 아닙니다.', key: '키', use_key: '열기', forget_key: '이 탭에서 키 지우기',
    foot: '2초마다 갱신됩니다. 대화 내용은 어디에도 보이지 않습니다.',
    s: '{n}초', ms: '{n}ms', min: '{n}분', h: '{n}시간', d: '{n}일', two: '{a} {b}',
  },
  en: {
    skip: 'Skip to content', title: 'Live status', language: 'Language', theme: 'Colours', auto: 'Auto', light: 'Light', dark: 'Dark',
    live: 'Live · updated {when}', paused: 'Paused while this tab is hidden', loading: 'Loading',
    trouble: 'Some services give no figures', offline: 'The gateway cannot be reached', locked: 'Waiting for the operator’s key',
    office: 'Office', character: 'Character', office_note: 'work assistant', character_note: 'role-play',
    ok: 'All well', model_down: 'Model not ready', store_down: 'Store in trouble', full: 'Queue is full', outbox: 'Answers wait to be stored', errors: 'An error just now', stale: 'No reply',
    unreachable: 'No figures yet. {why}', old: 'Figures from {age} ago. {why}',
    why_offline: 'It cannot be reached.', why_timeout: 'No reply within 5 s.', why_status: 'The service answered {status}.', why_denied: 'This key may not see it.',
    running: 'Running', waiting: 'Waiting', of: '/ {n}', expected: 'a newcomer waits about {s}', expected_none: 'a newcomer starts at once', expected_unknown: 'wait known after a first answer',
    per_hour: 'Answers per hour', success: 'Success', speed: 'Tokens per second', speed_note: 'of one answer', cache: 'From the cache', cache_note: 'of prompt tokens', in_window: 'last 15 minutes', answers_n: '{n} answers', tried_n: 'of {n}',
    latency: 'How long it takes', latency_caption: 'Complete answers, last 15 minutes', total: 'Total', queue: 'Queue', first: 'First text', p50: 'Median', p95: '95%', p99: '99%',
    c_load: 'Running and waiting', c_time: 'Response time', c_results: 'Results', c_tokens: 'Tokens made per second', now: 'now', last: 'latest', peak: 'peak', none_yet: 'none yet',
    k_running: 'running', k_waiting: 'waiting', k_p50: 'median', k_p95: '95%', k_answered: 'answered', k_refused: 'refused', k_failed: 'failed', k_cancelled: 'left', k_tokens: 'tokens/s',
    table: 'Show as a table', time: 'Time', chart_label: '{title}, last 15 minutes. {text}',
    outcomes: 'Results of the last 15 minutes', o_answered: 'Answered', o_refused: 'Refused (no room)', o_limited: 'Caller’s own limit', o_cancelled: 'Caller left', o_failed: 'Failed', causes: 'Causes',
    parts: 'Parts', model: 'Model', store: 'Conversation store', engine: 'Engine', restarts: 'Engine restarts', service_restarts: 'Service restarts', slots: 'Slots', outbox_turns: 'Answers to be stored', uptime: 'Up for', version: 'Version', wasted: 'Tokens wasted',
    yes: 'well', engine_ready: 'running', engine_starting: 'starting', engine_waiting: 'about to restart', engine_stopped: 'stopped', engine_elsewhere: 'run outside this service', unknown: 'not known to this service', n_items: '{n}', n_times: '{n}', n_slots: '{n}',
    recent: 'Recent errors', no_errors: 'No error since the service started.', ago: '{age} ago', times: '{n} times, last {age} ago',
    reports: 'Load-test reports', reports_lead: 'Latest report: {when}', open_report: 'Open the report', save_report: 'Download the report', no_report: 'No report yet. Run chatbot-ai loadtest character and it appears here.', report_failed: 'The report could not be read ({status}).',
    gate: 'Operator’s key', gate_lead: 'You are not on the server itself, or keys are in use: the figures need an operator’s key. It stays in this tab and is gone when you close it.', gate_user: 'This is a user’s key. An operator’s (backend) key is needed.', gate_wrong: 'This key is not valid.', key: 'Key', use_key: 'Open', forget_key: 'Forget the key in this tab',
    foot: 'Updated every 2 seconds. Nothing of any conversation is shown here.',
    s: '{n} s', ms: '{n} ms', min: '{n} min', h: '{n} h', d: '{n} d', two: '{a} {b}',
  },
};
const CODES = {
  busy: ['대기열이 찼거나 대기가 너무 김', 'queue full or wait too long'],
  rate_limited: ['호출자 한도 초과', 'caller’s own limit'],
  deadline_exceeded: ['제한 시간 초과', 'deadline passed'],
  model_unavailable: ['모델이 응답하지 않음', 'model unavailable'],
  model_not_configured: ['모델이 설정되지 않음', 'model not configured'],
  model_rate_limited: ['원격 모델의 한도 초과', 'remote model’s limit'],
  model_protocol_error: ['모델의 응답을 읽을 수 없음', 'unreadable reply of the model'],
  store_unavailable: ['대화 저장소 오류', 'store unavailable'],
  search_unavailable: ['웹 검색 실패', 'web search failed'],
  unavailable: ['이용할 수 없음', 'unavailable'],
  internal_error: ['서버 내부 오류', 'internal error'],
  unknown_model: ['없는 모델', 'unknown model'],
  context_too_long: ['입력이 너무 김', 'input too long'],
  invalid_request: ['잘못된 요청', 'invalid request'],
  not_found: ['없는 대화', 'not found'],
  timeout: ['3초 안에 응답 없음', 'no reply within 3 s'],
};

let language = 'ko';

export function speak(chosen) { language = chosen; }
export function say(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}
export function codeName(code) {
  const known = Object.hasOwn(CODES, code) ? CODES[code] : null;
  return known ? known[language === 'ko' ? 0 : 1] : code;
}
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}
export function span(value) {
  if (value === null || value === undefined) return '–';
  if (value > 0 && value < 0.1) return say('ms', { n: number(value * 1000) });
  return say('s', { n: number(value, value === 0 || value >= 100 ? 0 : value < 10 ? 2 : 1) });
}
/* Short, for an axis or an estimate: no more digits than it is worth. */
export function brief(value) {
  const text = new Intl.NumberFormat(language, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
  return say('s', { n: text });
}
export function share(part) {
  const value = part * 100;
  return `${number(value, value === 0 || value === 100 ? 0 : 1)}%`;
}
/* A stretch of time in words, by its two largest units. */
export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return say('s', { n: number(whole) });
  /** @type {[string, number][]} */
  const units = [['d', 86400], ['h', 3600], ['min', 60]];
  const index = units.findIndex(([, size]) => whole >= size);
  const [name, size] = units[index];
  const first = say(name, { n: number(Math.floor(whole / size)) });
  const lower = units[index + 1];
  const rest = lower ? Math.floor((whole % size) / lower[1]) : 0;
  return rest ? say('two', { a: first, b: say(lower[0], { n: rest }) }) : first;
}
export function clock(unix, seconds = true) {
  return new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined, hourCycle: 'h23' }).format(new Date(unix * 1000));
}
export function moment(date) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}
