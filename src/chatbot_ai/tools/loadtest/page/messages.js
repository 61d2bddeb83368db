const MESSAGES = {
  ko: {
    title: '부하 시험 보고서', skip: '본문으로 건너뛰기', language: '언어', theme: '테마',
    auto: '자동', light: '밝게', dark: '어둡게',
    run: '시험', answers_as: '응답 방식', all: '전체', json: 'JSON', stream: '스트리밍',
    facts: '{start} 시작 · {duration} · {endpoints} · 동시 사용자 {users}명 · 동시 요청 최대 {peak}건',
    facts_no_users: '{start} 시작 · {duration} · {endpoints} · 동시 요청 최대 {peak}건',
    key_figures: '핵심 수치',
    success: '성공률', success_note: '질문 {questions}건 중 {answered}건에 답변', unfinished_note: ' · 미완료 {n}건',
    total: '응답 시간', median_note: '중앙값 · 95%는 {p95} 이내', not_recorded: '기록 없음',
    first: '첫 글자까지', queue: '대기 시간', rate: '시간당 답변', rate_note: '평균 응답 {mean}',
    refused_tile: '거절', refused_note: '거절까지 {s} (중앙값)', refused_none: '거절된 요청이 없음',
    requests: '보낸 요청', requests_note: '거절 뒤 다시 보낸 요청 {n}건', 
    expected: '예상 대기 시간 오차', expected_note: '중앙값 · 대기한 요청 {n}건', expected_none: '대기한 요청 없음',
    time_title: '시간에 따른 응답 시간', time_lead: '점 하나가 요청 하나입니다. 가로선은 구간별 중앙값, 띠는 답변의 5–95% 범위입니다.',
    points_shown: ' 요청 {all}건 중 고르게 뽑은 {shown}건을 점으로 그렸습니다.',
    x_time_min: '시험 시작 후 (분)', x_time_s: '시험 시작 후 (초)', y_total: '응답 시간 (초)', y_count: '답변 수 (건)',
    x_total: '응답 시간 (초)', x_flight: '보낼 때 진행 중이던 요청 (건)', x_actual: '실제 대기 시간 (초)', y_expected: '예상 대기 시간 (초)',
    dist_title: '응답 시간 분포', dist_lead: '완성된 답변 {n}건. 점선은 중앙값과 95% 지점입니다.',
    p50: '중앙값', p95: '95%', p99: '99%', p5: '5%', mean: '평균',
    parts_title: '답변 하나에 걸린 시간', parts_lead: '답변 {n}건의 평균 {total}이 어디에 쓰였는지 보여 줍니다.',
    part_queue: '대기', part_first: '첫 글자까지', part_write: '나머지 생성',
    cause_title: '결과와 원인', cause_lead: '보낸 요청 {n}건을 결과별로 나누었습니다. 거절된 뒤 다시 보낸 요청도 포함합니다.',
    flight_title: '동시 요청의 영향', flight_lead: '함께 진행 중인 요청이 늘 때의 응답 시간. 점은 중앙값, 선은 5–95% 범위입니다.',
    wait_title: '예상 대기 시간과 실제 대기 시간', wait_lead: '대각선에 가까울수록 예상이 정확합니다. 띠는 ±30% 범위이며 {inside}%가 그 안에 있습니다.',
    compare_title: '시험 비교', compare_lead: '점은 중앙값, 선 끝은 95% 지점입니다. 이름을 누르면 해당 시험을 표시합니다.',
    table: '표로 보기', hint: '좌우 화살표 키로 값을 읽을 수 있습니다.',
    empty: '표시할 자료가 없습니다.', no_runs: '아직 결과가 없습니다. 다음 명령을 실행하면 여기에 표시됩니다: chatbot-ai loadtest character',
    col_time: '구간', col_n: '답변', col_outcome: '결과', col_cause: '원인', col_requests: '요청', col_share: '비율', col_flight: '동시 요청', col_part: '단계', col_seconds: '시간', col_expected: '예상', col_actual: '실제',
    col_run: '시험', col_users: '사용자', col_success: '성공률', col_rate: '시간당', col_first: '첫 글자', col_refused: '거절', col_questions: '질문',
    first_rows: '처음 {n}행만 표시합니다. 모든 값은 CSV 파일에 있습니다.',
    o_answered: '답변', o_refused: '거절', o_interrupted: '중단', o_failed: '실패', o_abandoned: '시험 종료',
    n: '{n}건', users_n: '{n}명', s: '{n}초', ms: '{n}ms', min: '{n}분', range: '{a}–{b}', over_bar: '{range} · 답변 {n}건', 
    generated: '생성 시각 {when}', privacy: '이 페이지는 네트워크를 사용하지 않으며 질문과 답변의 내용을 포함하지 않습니다.',
    skipped: '읽지 못한 파일: {names}', left_out: '이전 시험 {n}개는 CSV 파일로만 남아 있습니다.',
  },
  en: {
    title: 'Load test report', skip: 'Skip to content', language: 'Language', theme: 'Theme',
    auto: 'Auto', light: 'Light', dark: 'Dark',
    run: 'Run', answers_as: 'Answers as', all: 'All', json: 'JSON', stream: 'Stream',
    facts: 'Started {start} · {duration} · {endpoints} · {users} users · up to {peak} requests at once',
    facts_no_users: 'Started {start} · {duration} · {endpoints} · up to {peak} requests at once',
    key_figures: 'Key figures',
    success: 'Success', success_note: '{answered} of {questions} questions answered', unfinished_note: ' · {n} unfinished',
    total: 'Response time', median_note: 'median · 95% within {p95}', not_recorded: 'not recorded',
    first: 'Time to first token', queue: 'Time in the queue', rate: 'Answers per hour', rate_note: 'mean response {mean}',
    refused_tile: 'Refused', refused_note: 'refused after {s} (median)', refused_none: 'no requests refused',
    requests: 'Requests sent', requests_note: '{n} retried after a refusal',
    expected: 'Error of the expected wait', expected_note: 'median · {n} queued requests', expected_none: 'no queued requests',
    time_title: 'Response time over time', time_lead: 'Each mark is one request. Lines: median of each interval; bands: 5–95% of the answers.',
    points_shown: ' {shown} of {all} requests are drawn, evenly sampled.',
    x_time_min: 'since the start (min)', x_time_s: 'since the start (s)', y_total: 'response time (s)', y_count: 'answers',
    x_total: 'response time (s)', x_flight: 'concurrent requests when sent', x_actual: 'actual wait (s)', y_expected: 'expected wait (s)',
    dist_title: 'Distribution of response times', dist_lead: '{n} completed answers. Dashed lines: median and 95%.',
    p50: 'Median', p95: '95%', p99: '99%', p5: '5%', mean: 'Mean',
    parts_title: 'Time spent per answer', parts_lead: 'Answers took {total} on average ({n} answers).',
    part_queue: 'Queue', part_first: 'Until the first token', part_write: 'Generating the rest',
    cause_title: 'Results and causes', cause_lead: 'All {n} requests by result, including retries after a refusal.',
    flight_title: 'Effect of concurrency', flight_lead: 'Response time by the number of concurrent requests. Dot: median, line: 5–95%.',
    wait_title: 'Expected and actual waits', wait_lead: 'The closer to the diagonal, the more accurate. The band is ±30%; {inside}% are inside.',
    compare_title: 'Comparison of runs', compare_lead: 'Dot: median; end of the line: 95%. Select a name to see that run.',
    table: 'Show as a table', hint: 'Use the left and right arrow keys to read the values.',
    empty: 'No data.', no_runs: 'No results yet. Create some with: chatbot-ai loadtest character',
    col_time: 'Interval', col_n: 'Answers', col_outcome: 'Result', col_cause: 'Cause', col_requests: 'Requests', col_share: 'Share', col_flight: 'Concurrent', col_part: 'Stage', col_seconds: 'Time', col_expected: 'Expected', col_actual: 'Actual',
    col_run: 'Run', col_users: 'Users', col_success: 'Success', col_rate: 'Per hour', col_first: 'First token', col_refused: 'Refused', col_questions: 'Questions',
    first_rows: 'Only the first {n} rows are shown; all values are in the CSV file.',
    o_answered: 'Answered', o_refused: 'Refused', o_interrupted: 'Interrupted', o_failed: 'Failed', o_abandoned: 'Test ended',
    n: '{n}', users_n: '{n}', s: '{n} s', ms: '{n} ms', min: '{n} min', range: '{a}–{b}', over_bar: '{range} · {n} answers',
    generated: 'Generated {when}', privacy: 'This page makes no network requests and contains no questions or answers.',
    skipped: 'Files that could not be read: {names}', left_out: '{n} older runs are available only as CSV files.',
  },
};
const CAUSES = {
  busy: ['대기열이 찼거나 대기가 너무 김', 'queue full or wait too long'],
  rate_limited: ['호출자 한도 초과', 'rate limit exceeded'],
  deadline_exceeded: ['제한 시간 초과', 'deadline exceeded'],
  model_unavailable: ['모델이 응답하지 않음', 'model unavailable'],
  store_unavailable: ['대화 저장소 오류', 'store unavailable'],
  internal_error: ['서버 내부 오류', 'internal error'],
  http_429: ['요청이 너무 많음 (429)', 'too many requests (429)'],
  http_503: ['서비스 이용 불가 (503)', 'service unavailable (503)'],
  http_502: ['게이트웨이 오류 (502)', 'bad gateway (502)'],
  http_500: ['서버 내부 오류 (500)', 'server error (500)'],
  timeout: ['시간 안에 응답 없음', 'no response in time'],
  connection_refused: ['연결 거부', 'connection refused'],
  connection_lost: ['연결 끊김', 'connection lost'],
  connection_cut: ['응답 도중 연결 끊김', 'connection cut'],
  stream_cut: ['스트림이 도중에 끊김', 'stream cut short'],
  unreadable_answer: ['읽을 수 없는 응답', 'unreadable answer'],
  empty_answer: ['빈 답변', 'empty answer'],
  run_ended: ['답변 전에 시험이 끝남', 'test ended first'],
};
let language = 'ko';

function t(key, values = {}) {
  return MESSAGES[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}
function formatNumber(value, digits = 0) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}
function formatPlain(value) {
  return new Intl.NumberFormat(language, { maximumSignificantDigits: 6 }).format(value);
}
function formatDuration(value) {
  if (value === null || value === undefined) return '–';
  if (value < 0.1) return t('ms', { n: formatNumber(value * 1000, value < 0.01 ? 1 : 0) });
  if (value < 10) return t('s', { n: formatNumber(value, 2) });
  return t('s', { n: formatNumber(value, value < 100 ? 1 : 0) });
}
function formatPercent(value, digits = 1) {
  return value === null ? '–' : `${formatNumber(value, value === 100 || value === 0 ? 0 : digits)}%`;
}
function getCauseName(outcome, cause) {
  if (!cause) return t(`o_${outcome}`);
  const known = CAUSES[cause];
  return known ? known[language === 'ko' ? 0 : 1] : cause;
}
