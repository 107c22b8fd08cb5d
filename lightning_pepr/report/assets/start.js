"use strict";
// Unpacks the library of the charts and the data, and begins. The library runs as a script element, so that the page's
// policy holds for it too: another one than that whose digest stands there does not run.
(async () => {
  Charts.applyTheme();
  const say = (text) => { document.getElementById("headline").textContent = text; };
  if (typeof DecompressionStream === "undefined") {
    say("This browser cannot unpack the page. Open it in Chrome or Edge from 80, Firefox from 113 or Safari from 16.4 on.");
    return;
  }
  const unpack = (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const [library, data] = await Promise.all([unpack("plotly"), unpack("data")]);
  const script = document.createElement("script");
  script.textContent = library;
  document.head.append(script);
  if (typeof Plotly === "undefined") {
    say("The charts cannot be drawn: the page’s copy of plotly.js is not the one that the page was made with.");
    return;
  }
  Controls.begin(JSON.parse(data));
})();
