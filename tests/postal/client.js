// What an application does with @atech/postal.
const Postal = require("@atech/postal");

const client = new Postal.Client("mail.shop.test", process.env.KEY);
const { FROM, TO } = process.env;

async function isSent(message) {
    for (let round = 0; round < 300; round += 1) {
        const told = await client.makeRequest("messages", "message", {
            id: message.attributes.id,
            _expansions: ["status"],
        });
        if (told.status.status === "Sent") return "Sent";
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return "never sent";
}

async function main() {
    const message = new Postal.SendMessage(client);
    message.to(TO);
    message.from(FROM);
    message.subject("from npm");
    message.tag("npm");
    message.header("X-Shop", "7");
    message.plainBody("hi");
    message.attach("a.txt", "text/plain", "attached");
    const sent = await message.send();
    console.log("npm message", await isSent(sent.recipients()[TO]));

    const raw = new Postal.SendRawMessage(client);
    raw.mailFrom(FROM);
    raw.rcptTo(TO);
    raw.data(`From: ${FROM}\r\nSubject: raw from npm\r\n\r\nhi\r\n`);
    const whole = await raw.send();
    console.log("npm raw", await isSent(whole.recipients()[TO]));

    const empty = new Postal.SendMessage(client);
    empty.to(TO);
    empty.from(FROM);
    await empty.send().catch((error) => console.log("npm error", error.code));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
