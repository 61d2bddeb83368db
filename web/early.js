// Before the first paint: the chosen theme and language, so that nothing flashes.
(() => {
  let saved = {};
  try {
    saved = {
      theme: JSON.parse(localStorage.getItem("chatbot.theme")),
      language: JSON.parse(localStorage.getItem("chatbot.language")),
    };
  } catch {
    // storage may be closed; the system's choice serves then
  }
  const root = document.documentElement;
  if (saved.theme === "light" || saved.theme === "dark") root.dataset.theme = saved.theme;
  const preferred = (navigator.languages || [navigator.language]).find((l) => /^(ko|en)/.test(l));
  root.lang = saved.language || (preferred && preferred.slice(0, 2) === "en" ? "en" : "ko");
  // another view than the first one: its welcome would only flash
  if (!/^(#\/?)?$/.test(location.hash)) root.dataset.elsewhere = "";
})();
