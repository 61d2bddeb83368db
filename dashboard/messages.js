const MESSAGES = {
  ko: {
    skip: '본문으로 건너뛰기', title: '운영 현황', language: '언어', theme: '테마', auto: '자동', light: '밝게', dark: '어둡게',
    live: '실시간 · {when} 갱신', paused: '다른 탭을 보는 동안 갱신을 멈췄습니다', loading: '불러오는 중',
    trouble: '일부 서비스의 수치를 받지 못하고 있습니다', offline: '게이트웨이에 연결할 수 없습니다', locked: '운영자용 API 키가 필요합니다',
    office: '업무 도우미', character: '캐릭터', office_note: 'office', character_note: 'character',
    ok: '정상', model_down: '모델이 준비되지 않음', store_down: '대화 저장소 오류', full: '대기열이 가득 참', outbox: '저장 대기 중인 답변 있음', errors: '최근 오류 있음', stale: '응답 없음',
    unreachable: '아직 수치를 받지 못했습니다. {why}', old: '{age} 전의 수치입니다. {why}',
    why_offline: '연결할 수 없습니다.', why_timeout: '5초 안에 응답하지 않습니다.', why_status: '서비스 응답 코드: {status}', why_denied: '이 API 키로는 볼 수 없습니다.',
    running: '실행 중', waiting: '대기', of: '/ {n}', expected: '예상 대기 시간 {s}', expected_none: '바로 시작 가능', expected_unknown: '첫 답변 후 예상 대기 시간 표시',
    per_hour: '시간당 답변', success: '성공률', speed: '초당 토큰', speed_note: '답변 하나 기준', cache: '캐시 재사용', cache_note: '프롬프트 토큰 중', in_window: '최근 15분', answers_n: '답변 {n}건', tried_n: '{n}건 중',
    latency: '소요 시간', latency_caption: '최근 15분, 완료된 답변', total: '전체', queue: '대기', first: '첫 글자', p50: '중앙값', p95: '95%', p99: '99%',
    c_load: '실행과 대기', c_time: '응답 시간', c_results: '요청 결과', c_tokens: '초당 생성 토큰', now: '현재', last: '최근', peak: '최고', none_yet: '아직 없음',
    k_running: '실행', k_waiting: '대기', k_p50: '중앙값', k_p95: '95%', k_answered: '답변', k_refused: '거절', k_failed: '실패', k_cancelled: '취소', k_tokens: '토큰/초',
    table: '표로 보기', time: '시각', chart_label: '{title}, 최근 15분. {text}',
    outcomes: '최근 15분의 결과', o_answered: '답변 완료', o_refused: '거절 (대기열 가득 참)', o_limited: '호출자 한도', o_cancelled: '사용자 중단', o_failed: '실패', causes: '원인',
    parts: '구성 요소', model: '모델', store: '대화 저장소', engine: '엔진', restarts: '엔진 재시작', service_restarts: '서비스 재시작', slots: '슬롯', outbox_turns: '저장 대기 중인 답변', uptime: '가동 시간', version: '버전', wasted: '버려진 토큰',
    yes: '정상', engine_ready: '실행 중', engine_starting: '시작 중', engine_stalled: '멈춤', engine_waiting: '재시작 대기', engine_stopped: '중지됨', engine_elsewhere: '다른 곳에서 실행', unknown: '알 수 없음', n_items: '{n}건', n_times: '{n}번', n_slots: '{n}개',
    recent: '최근 오류', no_errors: '서비스가 시작된 뒤 오류가 없습니다.', ago: '{age} 전', times: '{n}번, 마지막 {age} 전',
    reports: '부하 시험 보고서', reports_lead: '마지막 보고서: {when}', open_report: '보고서 열기', save_report: '보고서 내려받기', no_report: '아직 보고서가 없습니다. 다음 명령을 실행하면 여기에 표시됩니다: chatbot-ai loadtest character', report_failed: '보고서를 읽지 못했습니다 ({status}).',
    gate: '운영자용 API 키', gate_lead: '서버가 아닌 컴퓨터에서 열었거나 API 키를 사용하도록 설정되어 있어 운영자용 API 키가 필요합니다. 키는 이 탭에만 저장되며 탭을 닫으면 삭제됩니다.', gate_user: '사용자용 API 키입니다. 운영자용(백엔드) API 키가 필요합니다.', gate_wrong: '올바르지 않은 API 키입니다.', key: 'API 키', use_key: '열기', forget_key: '이 탭에서 API 키 삭제',
    foot: '2초마다 갱신됩니다. 대화 내용은 표시하지 않습니다.',
    s: '{n}초', ms: '{n}ms', min: '{n}분', h: '{n}시간', d: '{n}일', two: '{a} {b}',
  },
  en: {
    skip: 'Skip to content', title: 'Live status', language: 'Language', theme: 'Theme', auto: 'Auto', light: 'Light', dark: 'Dark',
    live: 'Live · updated {when}', paused: 'Paused while this tab is hidden', loading: 'Loading',
    trouble: 'Some services are not responding', offline: 'The gateway cannot be reached', locked: 'Backend API key required',
    office: 'Office assistant', character: 'Character', office_note: 'office', character_note: 'character',
    ok: 'OK', model_down: 'Model not ready', store_down: 'Conversation store error', full: 'Queue full', outbox: 'Answers waiting to be stored', errors: 'Recent error', stale: 'Not responding',
    unreachable: 'No data yet. {why}', old: 'Data from {age} ago. {why}',
    why_offline: 'It cannot be reached.', why_timeout: 'No response within 5 s.', why_status: 'Status code of the service: {status}', why_denied: 'This API key has no access.',
    running: 'Running', waiting: 'Waiting', of: '/ {n}', expected: 'expected wait {s}', expected_none: 'no wait', expected_unknown: 'expected wait shown after the first answer',
    per_hour: 'Answers per hour', success: 'Success', speed: 'Tokens per second', speed_note: 'per answer', cache: 'Cache hits', cache_note: 'of prompt tokens', in_window: 'last 15 minutes', answers_n: '{n} answers', tried_n: 'of {n}',
    latency: 'Latency', latency_caption: 'Completed answers, last 15 minutes', total: 'Total', queue: 'Queue', first: 'First token', p50: 'Median', p95: '95%', p99: '99%',
    c_load: 'Running and waiting', c_time: 'Response time', c_results: 'Results', c_tokens: 'Tokens generated per second', now: 'now', last: 'latest', peak: 'peak', none_yet: 'none yet',
    k_running: 'running', k_waiting: 'waiting', k_p50: 'median', k_p95: '95%', k_answered: 'answered', k_refused: 'refused', k_failed: 'failed', k_cancelled: 'cancelled', k_tokens: 'tokens/s',
    table: 'Show as a table', time: 'Time', chart_label: '{title}, last 15 minutes. {text}',
    outcomes: 'Results of the last 15 minutes', o_answered: 'Answered', o_refused: 'Refused (queue full)', o_limited: 'Rate limited', o_cancelled: 'Cancelled by the caller', o_failed: 'Failed', causes: 'Causes',
    parts: 'Components', model: 'Model', store: 'Conversation store', engine: 'Engine', restarts: 'Engine restarts', service_restarts: 'Service restarts', slots: 'Slots', outbox_turns: 'Answers waiting to be stored', uptime: 'Uptime', version: 'Version', wasted: 'Discarded tokens',
    yes: 'OK', engine_ready: 'running', engine_starting: 'starting', engine_stalled: 'stalled', engine_waiting: 'waiting to restart', engine_stopped: 'stopped', engine_elsewhere: 'runs outside this service', unknown: 'unknown', n_items: '{n}', n_times: '{n}', n_slots: '{n}',
    recent: 'Recent errors', no_errors: 'No errors since the service started.', ago: '{age} ago', times: '{n} times, last {age} ago',
    reports: 'Load test reports', reports_lead: 'Latest report: {when}', open_report: 'Open the report', save_report: 'Download the report', no_report: 'No report yet. Create one with: chatbot-ai loadtest character', report_failed: 'The report could not be read ({status}).',
    gate: 'Backend API key', gate_lead: 'A backend API key is required because this page was opened from another computer or API keys are configured. The key is kept in this tab only and removed when you close it.', gate_user: 'This is a user API key. A backend API key is required.', gate_wrong: 'This API key is not valid.', key: 'API key', use_key: 'Open', forget_key: 'Remove the API key from this tab',
    foot: 'Updated every 2 seconds. No conversation content is shown.',
    s: '{n} s', ms: '{n} ms', min: '{n} min', h: '{n} h', d: '{n} d', two: '{a} {b}',
  },
};
const CODES = {
  busy: ['대기열이 찼거나 대기가 너무 김', 'queue full or wait too long'],
  rate_limited: ['호출자 한도 초과', 'rate limit exceeded'],
  deadline_exceeded: ['제한 시간 초과', 'deadline exceeded'],
  model_stalled: ['모델이 멈춤', 'model stalled'],
  model_unavailable: ['모델이 응답하지 않음', 'model unavailable'],
  model_not_configured: ['모델이 설정되지 않음', 'model not configured'],
  model_rate_limited: ['원격 모델의 한도 초과', 'rate limit of the remote model'],
  model_protocol_error: ['모델의 응답을 읽을 수 없음', 'unreadable response from the model'],
  store_unavailable: ['대화 저장소 오류', 'store unavailable'],
  search_unavailable: ['웹 검색 실패', 'web search failed'],
  unavailable: ['이용할 수 없음', 'unavailable'],
  internal_error: ['서버 내부 오류', 'internal error'],
  unknown_model: ['존재하지 않는 모델', 'unknown model'],
  context_too_long: ['입력이 너무 김', 'input too long'],
  invalid_request: ['잘못된 요청', 'invalid request'],
  not_found: ['존재하지 않는 대화', 'not found'],
  timeout: ['3초 안에 응답 없음', 'no response within 3 s'],
};

let language = 'ko';

export function setLanguage(chosen) { language = chosen; }
export function t(key, values = {}) {
  return MESSAGES[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}
export function getCodeName(code) {
  const known = Object.hasOwn(CODES, code) ? CODES[code] : null;
  return known ? known[language === 'ko' ? 0 : 1] : code;
}
export function formatNumber(value, digits = 0) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}
export function formatDuration(value) {
  if (value === null || value === undefined) return '–';
  if (value > 0 && value < 0.1) return t('ms', { n: formatNumber(value * 1000) });
  return t('s', { n: formatNumber(value, value === 0 || value >= 100 ? 0 : value < 10 ? 2 : 1) });
}
/* For an axis or an estimate: at most one decimal. */
export function formatBriefly(value) {
  const text = new Intl.NumberFormat(language, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
  return t('s', { n: text });
}
export function formatShare(part) {
  const value = part * 100;
  return `${formatNumber(value, value === 0 || value === 100 ? 0 : 1)}%`;
}
/* A duration in words, in its two largest units. */
export function formatAge(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t('s', { n: formatNumber(whole) });
  /** @type {[string, number][]} */
  const units = [['d', 86400], ['h', 3600], ['min', 60]];
  const index = units.findIndex(([, size]) => whole >= size);
  const [name, size] = units[index];
  const first = t(name, { n: formatNumber(Math.floor(whole / size)) });
  const lower = units[index + 1];
  const rest = lower ? Math.floor((whole % size) / lower[1]) : 0;
  return rest ? t('two', { a: first, b: t(lower[0], { n: rest }) }) : first;
}
export function formatTime(unix, seconds = true) {
  return new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined, hourCycle: 'h23' }).format(new Date(unix * 1000));
}
export function formatDate(date) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}
