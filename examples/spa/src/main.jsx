import "/static/drf_logout/pages.css";
import "./app.css";

import { createRoot } from "react-dom/client";
import { App } from "./App.jsx";

createRoot(document.getElementById("app")).render(<App />);
