import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createRoot } from "react-dom/client";
import { queries, whenSignedOut } from "./api/client";
import { chosenLanguage, speak } from "./lib/text";
import { chosenTheme, wear } from "./lib/theme";
import { Toasts } from "./parts/toast";
import { router } from "./router";
import "./style.css";

wear(chosenTheme());
whenSignedOut(() => void queries.resetQueries({ queryKey: ["get", "/v1/session"] }));

function Panel() {
  return (
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
      <Toasts />
    </QueryClientProvider>
  );
}

// A catalogue that cannot be fetched leaves the panel in English.
const ready = speak(chosenLanguage()).catch(() => speak("en"));
const place = document.getElementById("root");
if (place) void ready.then(() => createRoot(place).render(<Panel />));
