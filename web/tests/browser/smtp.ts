// One mail over TLS with AUTH, as an application submits it.
import { connect } from "node:tls";

export async function submit(to: string, at: { address: string; user: string; password: string; from: string; subject: string }): Promise<string> {
  const port = Number(at.address.split(":").at(-1));
  const plain = Buffer.from(`\0${at.user}\0${at.password}`).toString("base64");
  const mail = `From: <${at.from}>\r\nTo: <${to}>\r\nSubject: ${at.subject}\r\n\r\nHello by SMTP.\r\n.`;
  const words = ["EHLO test", `AUTH PLAIN ${plain}`, `MAIL FROM:<${at.from}>`, `RCPT TO:<${to}>`, "DATA", mail, "QUIT"];
  return new Promise((resolve, reject) => {
    // The demo signs its own certificate.
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    let last = "";
    socket.setEncoding("utf8").setTimeout(30_000, () => reject(new Error("SMTP stood still")));
    socket.on("error", reject);
    socket.on("data", (data: string) => {
      const line = data.trimEnd().split("\r\n").at(-1) ?? "";
      if (!/^\d{3} /.test(line)) return;
      if (line.startsWith("5") || line.startsWith("4")) return reject(new Error(line));
      const word = words.shift();
      if (word === "QUIT") last = line;
      if (word === undefined) {
        socket.end();
        resolve(last);
      } else socket.write(`${word}\r\n`);
    });
  });
}
