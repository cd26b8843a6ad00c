//! What the public pages say, in the languages of those who read them.
//!
//! Owns:       the words of pages, forms and of the mail that asks for confirmation.
//! Promises:   each language says everything; who reads none of them is told in English; what a
//!             contact is known to read goes before what his browser says.
//! Knows not:  which page says what.

/// `{}` stands for a name or an address.
pub(super) struct Words {
    /// As in `lang="de"`.
    pub language: &'static str,
    pub your_address: &'static str,
    pub your_name: &'static str,
    pub subscribe: &'static str,
    /// Beside what people do not see.
    pub leave_empty: &'static str,
    pub almost_there: &'static str,
    pub on_its_way: &'static str,
    pub address: &'static str,
    pub no_address: &'static str,
    pub check: &'static str,
    pub later: &'static str,
    pub too_many: &'static str,
    pub trouble: &'static str,
    pub yes: &'static str,
    pub you_told: &'static str,
    pub subscribed: &'static str,
    pub you_are: &'static str,
    pub please_confirm: &'static str,
    pub somebody: &'static str,
    pub otherwise: &'static str,
    pub unsubscribe: &'static str,
    pub gets_this: &'static str,
    pub why: &'static str,
    pub no_more: &'static str,
    pub choose: &'static str,
    pub your_mail: &'static str,
    pub unsubscribed: &'static str,
    pub no_more_of_this: &'static str,
    pub mail_to: &'static str,
    pub save: &'static str,
    pub saved: &'static str,
    pub choice_saved: &'static str,
    pub link: &'static str,
    pub not_valid: &'static str,
    pub archive: &'static str,
    pub go_on: &'static str,
    pub hand_over: &'static str,
    pub hand_over_subject: &'static str,
    pub hand_over_text: &'static str,
    pub erase: &'static str,
    pub erase_subject: &'static str,
    pub erase_text: &'static str,
    pub erase_means: &'static str,
    pub erased: &'static str,
    pub sent_to: &'static str,
}

pub(super) static ENGLISH: Words = Words {
    language: "en",
    your_address: "Your address",
    your_name: "Your name",
    subscribe: "Subscribe",
    leave_empty: "Leave this empty",
    almost_there: "Almost there",
    on_its_way: "If this address is not subscribed yet, a mail is on its way to it. \
        Please follow the link in it.",
    address: "Address",
    no_address: "This is no address that mail can be sent to.",
    check: "Please go back and check: {}",
    later: "Later",
    too_many: "Too many requests.",
    trouble: "This cannot be done at this moment. Please try again in a minute.",
    yes: "Yes, subscribe me",
    you_told: "This is what was entered:",
    subscribed: "Subscribed",
    you_are: "You are subscribed.",
    please_confirm: "Please confirm: {}",
    somebody: "Somebody, most likely you, asked for mail of \"{}\".",
    otherwise: "Otherwise do nothing: no mail will come.",
    unsubscribe: "Unsubscribe",
    gets_this: "{} gets this mail.",
    why: "Why, if you like to say so:",
    no_more: "No more mail at all",
    choose: "Choose which mail you get",
    your_mail: "Your mail",
    unsubscribed: "Unsubscribed",
    no_more_of_this: "You will get no more of this mail.",
    mail_to: "Mail to {}:",
    save: "Save",
    saved: "Saved",
    choice_saved: "Your choice is saved.",
    link: "Link",
    not_valid: "This link is not valid, or no longer.",
    archive: "Archive",
    go_on: "Go on",
    hand_over: "Send me what is kept about me",
    hand_over_subject: "What is kept about you",
    hand_over_text: "You asked for all that is kept about you. It is in the attached file.",
    erase: "Erase what is kept about me",
    erase_subject: "Erase what is kept about you",
    erase_text: "You asked that all that is kept about you be erased. If it was not you, do \
        nothing.",
    erase_means: "Your address, what is known about you, and whom the mails of the last year \
        went to will be erased. This cannot be undone.",
    erased: "What was kept about you is erased.",
    sent_to: "A mail is on its way to {}.",
};

static GERMAN: Words = Words {
    language: "de",
    your_address: "Ihre E-Mail-Adresse",
    your_name: "Ihr Name",
    subscribe: "Abonnieren",
    leave_empty: "Bitte frei lassen",
    almost_there: "Fast geschafft",
    on_its_way: "Falls diese Adresse noch nicht angemeldet ist, ist eine E-Mail an sie unterwegs. \
        Bitte folgen Sie dem Link darin.",
    address: "Adresse",
    no_address: "An diese Adresse kann keine E-Mail gesendet werden.",
    check: "Bitte gehen Sie zurück und prüfen Sie: {}",
    later: "Später",
    too_many: "Zu viele Anfragen.",
    trouble: "Das geht gerade nicht. Bitte versuchen Sie es in einer Minute noch einmal.",
    yes: "Ja, ich möchte abonnieren",
    you_told: "Das wurde eingegeben:",
    subscribed: "Angemeldet",
    you_are: "Sie sind angemeldet.",
    please_confirm: "Bitte bestätigen: {}",
    somebody: "Jemand, vermutlich Sie, möchte E-Mails von „{}“ bekommen.",
    otherwise: "Andernfalls müssen Sie nichts tun: Es kommt keine weitere E-Mail.",
    unsubscribe: "Abmelden",
    gets_this: "{} bekommt diese E-Mails.",
    why: "Warum, falls Sie es sagen möchten:",
    no_more: "Gar keine E-Mails mehr",
    choose: "Auswählen, welche E-Mails Sie bekommen",
    your_mail: "Ihre E-Mails",
    unsubscribed: "Abgemeldet",
    no_more_of_this: "Sie bekommen diese E-Mails nicht mehr.",
    mail_to: "E-Mails an {}:",
    save: "Speichern",
    saved: "Gespeichert",
    choice_saved: "Ihre Auswahl ist gespeichert.",
    link: "Link",
    not_valid: "Dieser Link ist nicht oder nicht mehr gültig.",
    archive: "Archiv",
    go_on: "Weiter",
    hand_over: "Zusenden, was über mich gespeichert ist",
    hand_over_subject: "Was über Sie gespeichert ist",
    hand_over_text: "Sie haben um alles gebeten, was über Sie gespeichert ist. Es steht in der \
        angehängten Datei.",
    erase: "Löschen, was über mich gespeichert ist",
    erase_subject: "Löschen, was über Sie gespeichert ist",
    erase_text: "Sie haben gebeten, alles zu löschen, was über Sie gespeichert ist. Waren Sie es \
        nicht, müssen Sie nichts tun.",
    erase_means: "Ihre Adresse, was über Sie bekannt ist und an wen die E-Mails des letzten \
        Jahres gingen, wird gelöscht. Das lässt sich nicht rückgängig machen.",
    erased: "Was über Sie gespeichert war, ist gelöscht.",
    sent_to: "Eine E-Mail an {} ist unterwegs.",
};

static FRENCH: Words = Words {
    language: "fr",
    your_address: "Votre adresse e-mail",
    your_name: "Votre nom",
    subscribe: "S'abonner",
    leave_empty: "Laissez ce champ vide",
    almost_there: "C'est presque fini",
    on_its_way: "Si cette adresse n'est pas encore abonnée, un e-mail vient de lui être envoyé. \
        Veuillez suivre le lien qu'il contient.",
    address: "Adresse",
    no_address: "Aucun e-mail ne peut être envoyé à cette adresse.",
    check: "Veuillez revenir en arrière et vérifier : {}",
    later: "Plus tard",
    too_many: "Trop de demandes.",
    trouble: "Ce n'est pas possible pour le moment. Veuillez réessayer dans une minute.",
    yes: "Oui, je m'abonne",
    you_told: "Voici ce qui a été saisi :",
    subscribed: "Abonnement confirmé",
    you_are: "Vous êtes abonné.",
    please_confirm: "Veuillez confirmer : {}",
    somebody: "Quelqu'un, sans doute vous, a demandé à recevoir les e-mails de « {} ».",
    otherwise: "Sinon, ne faites rien : aucun autre e-mail ne viendra.",
    unsubscribe: "Se désabonner",
    gets_this: "{} reçoit ces e-mails.",
    why: "Pourquoi, si vous voulez bien le dire :",
    no_more: "Plus aucun e-mail",
    choose: "Choisir les e-mails que vous recevez",
    your_mail: "Vos e-mails",
    unsubscribed: "Désabonné",
    no_more_of_this: "Vous ne recevrez plus ces e-mails.",
    mail_to: "E-mails à {} :",
    save: "Enregistrer",
    saved: "Enregistré",
    choice_saved: "Votre choix est enregistré.",
    link: "Lien",
    not_valid: "Ce lien n'est pas valable, ou ne l'est plus.",
    archive: "Archives",
    go_on: "Continuer",
    hand_over: "M'envoyer ce qui est conservé sur moi",
    hand_over_subject: "Ce qui est conservé sur vous",
    hand_over_text: "Vous avez demandé tout ce qui est conservé sur vous. Vous le trouverez dans \
        le fichier joint.",
    erase: "Effacer ce qui est conservé sur moi",
    erase_subject: "Effacer ce qui est conservé sur vous",
    erase_text: "Vous avez demandé que tout ce qui est conservé sur vous soit effacé. Si ce \
        n'était pas vous, ne faites rien.",
    erase_means: "Votre adresse, ce que l'on sait de vous et à qui les e-mails de l'année \
        écoulée ont été envoyés seront effacés. Cela ne peut pas être annulé.",
    erased: "Ce qui était conservé sur vous est effacé.",
    sent_to: "Un e-mail vient de partir vers {}.",
};

static SPANISH: Words = Words {
    language: "es",
    your_address: "Su dirección de correo",
    your_name: "Su nombre",
    subscribe: "Suscribirse",
    leave_empty: "Deje esto vacío",
    almost_there: "Ya casi está",
    on_its_way: "Si esta dirección aún no está suscrita, le hemos enviado un correo. \
        Siga el enlace que contiene.",
    address: "Dirección",
    no_address: "No se puede enviar correo a esta dirección.",
    check: "Vuelva atrás y compruebe: {}",
    later: "Más tarde",
    too_many: "Demasiadas solicitudes.",
    trouble: "Ahora mismo no es posible. Inténtelo de nuevo en un minuto.",
    yes: "Sí, quiero suscribirme",
    you_told: "Esto es lo que se ha escrito:",
    subscribed: "Suscripción confirmada",
    you_are: "La suscripción está activa.",
    please_confirm: "Confirme, por favor: {}",
    somebody: "Alguien, seguramente usted, ha pedido recibir los correos de «{}».",
    otherwise: "Si no ha sido usted, no haga nada: no llegará ningún correo más.",
    unsubscribe: "Darse de baja",
    gets_this: "{} recibe estos correos.",
    why: "Por qué, si quiere decirlo:",
    no_more: "Ningún correo más",
    choose: "Elegir qué correos recibe",
    your_mail: "Sus correos",
    unsubscribed: "Baja realizada",
    no_more_of_this: "No recibirá más estos correos.",
    mail_to: "Correos para {}:",
    save: "Guardar",
    saved: "Guardado",
    choice_saved: "Su elección está guardada.",
    link: "Enlace",
    not_valid: "Este enlace no es válido, o ya no lo es.",
    archive: "Archivo",
    go_on: "Continuar",
    hand_over: "Enviarme lo que se guarda sobre mí",
    hand_over_subject: "Lo que se guarda sobre usted",
    hand_over_text: "Usted ha pedido todo lo que se guarda sobre usted. Está en el archivo \
        adjunto.",
    erase: "Borrar lo que se guarda sobre mí",
    erase_subject: "Borrar lo que se guarda sobre usted",
    erase_text: "Usted ha pedido que se borre todo lo que se guarda sobre usted. Si no ha sido \
        usted, no haga nada.",
    erase_means: "Se borrarán su dirección, lo que se sabe de usted y a quién fueron los correos \
        del último año. No se puede deshacer.",
    erased: "Se ha borrado lo que se guardaba sobre usted.",
    sent_to: "Un correo está en camino a {}.",
};

static ITALIAN: Words = Words {
    language: "it",
    your_address: "Il tuo indirizzo e-mail",
    your_name: "Il tuo nome",
    subscribe: "Iscriviti",
    leave_empty: "Lascia vuoto questo campo",
    almost_there: "Ci siamo quasi",
    on_its_way: "Se questo indirizzo non è ancora iscritto, gli è stata inviata un'e-mail. \
        Segui il link che contiene.",
    address: "Indirizzo",
    no_address: "A questo indirizzo non si possono inviare e-mail.",
    check: "Torna indietro e controlla: {}",
    later: "Più tardi",
    too_many: "Troppe richieste.",
    trouble: "Al momento non è possibile. Riprova tra un minuto.",
    yes: "Sì, voglio iscrivermi",
    you_told: "Ecco che cosa è stato inserito:",
    subscribed: "Iscrizione confermata",
    you_are: "L'iscrizione è attiva.",
    please_confirm: "Conferma: {}",
    somebody: "Qualcuno, probabilmente tu, ha chiesto di ricevere le e-mail di «{}».",
    otherwise: "Altrimenti non fare nulla: non arriveranno altre e-mail.",
    unsubscribe: "Annulla l'iscrizione",
    gets_this: "{} riceve queste e-mail.",
    why: "Perché, se vuoi dirlo:",
    no_more: "Nessuna e-mail, mai più",
    choose: "Scegli quali e-mail ricevere",
    your_mail: "Le tue e-mail",
    unsubscribed: "Iscrizione annullata",
    no_more_of_this: "Non riceverai più queste e-mail.",
    mail_to: "E-mail per {}:",
    save: "Salva",
    saved: "Salvato",
    choice_saved: "La tua scelta è salvata.",
    link: "Link",
    not_valid: "Questo link non è valido, o non lo è più.",
    archive: "Archivio",
    go_on: "Continua",
    hand_over: "Inviami ciò che è conservato su di me",
    hand_over_subject: "Ciò che è conservato su di te",
    hand_over_text: "Hai chiesto tutto ciò che è conservato su di te. Lo trovi nel file allegato.",
    erase: "Cancella ciò che è conservato su di me",
    erase_subject: "Cancellare ciò che è conservato su di te",
    erase_text: "Hai chiesto di cancellare tutto ciò che è conservato su di te. Se non sei stato \
        tu, non fare nulla.",
    erase_means: "Il tuo indirizzo, ciò che si sa di te e a chi sono andate le e-mail \
        dell'ultimo anno saranno cancellati. Non si può annullare.",
    erased: "Ciò che era conservato su di te è cancellato.",
    sent_to: "Un'e-mail è in viaggio verso {}.",
};

static DUTCH: Words = Words {
    language: "nl",
    your_address: "Uw e-mailadres",
    your_name: "Uw naam",
    subscribe: "Aanmelden",
    leave_empty: "Laat dit leeg",
    almost_there: "Bijna klaar",
    on_its_way: "Als dit adres nog niet is aangemeld, is er een e-mail naar onderweg. \
        Volg de link daarin.",
    address: "Adres",
    no_address: "Naar dit adres kan geen e-mail worden gestuurd.",
    check: "Ga terug en controleer: {}",
    later: "Later",
    too_many: "Te veel aanvragen.",
    trouble: "Dit lukt nu niet. Probeer het over een minuut nog eens.",
    yes: "Ja, meld mij aan",
    you_told: "Dit is ingevuld:",
    subscribed: "Aangemeld",
    you_are: "U bent aangemeld.",
    please_confirm: "Bevestig alstublieft: {}",
    somebody: "Iemand, waarschijnlijk u, heeft om e-mail van \"{}\" gevraagd.",
    otherwise: "Doe anders niets: er komt dan geen e-mail meer.",
    unsubscribe: "Afmelden",
    gets_this: "{} krijgt deze e-mails.",
    why: "Waarom, als u dat wilt zeggen:",
    no_more: "Helemaal geen e-mail meer",
    choose: "Kies welke e-mails u krijgt",
    your_mail: "Uw e-mails",
    unsubscribed: "Afgemeld",
    no_more_of_this: "U krijgt deze e-mails niet meer.",
    mail_to: "E-mail aan {}:",
    save: "Opslaan",
    saved: "Opgeslagen",
    choice_saved: "Uw keuze is opgeslagen.",
    link: "Link",
    not_valid: "Deze link is niet geldig, of niet meer.",
    archive: "Archief",
    go_on: "Verder",
    hand_over: "Stuur mij wat over mij wordt bewaard",
    hand_over_subject: "Wat over u wordt bewaard",
    hand_over_text: "U hebt gevraagd om alles wat over u wordt bewaard. Het staat in het \
        bijgevoegde bestand.",
    erase: "Wis wat over mij wordt bewaard",
    erase_subject: "Wissen wat over u wordt bewaard",
    erase_text: "U hebt gevraagd alles te wissen wat over u wordt bewaard. Was u het niet, doe \
        dan niets.",
    erase_means: "Uw adres, wat over u bekend is en aan wie de e-mails van het afgelopen jaar \
        gingen, wordt gewist. Dit kan niet ongedaan worden gemaakt.",
    erased: "Wat over u werd bewaard, is gewist.",
    sent_to: "Er is een e-mail onderweg naar {}.",
};

static ALL: [&Words; 6] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH, &ITALIAN, &DUTCH];

/// Languages that are looked at in what a browser says.
const ACCEPTED_MAX: usize = 20;

/// By the language that a contact is known to read, else by what the browser says
/// (Accept-Language, RFC 9110 §12.5.4).
pub(super) fn of(contact: Option<&str>, accepted: &str) -> &'static Words {
    let known = contact.and_then(named);
    known.unwrap_or_else(|| wanted(accepted).into_iter().find_map(named).unwrap_or(&ENGLISH))
}

/// By the part before the first dash, as in `de-AT`.
fn named(tag: &str) -> Option<&'static Words> {
    let language = tag.split(['-', '_']).next().unwrap_or_default();
    ALL.into_iter().find(|words| words.language.eq_ignore_ascii_case(language))
}

/// What is wanted most comes first; those wanted alike stay in their order.
fn wanted(accepted: &str) -> Vec<&str> {
    let weighed = accepted.split(',').take(ACCEPTED_MAX).filter_map(|part| {
        let (tag, more) = part.split_once(';').unwrap_or((part, ""));
        let weight = more.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.parse().ok());
        weight.filter(|weight: &f32| *weight > 0.0).map(|weight| (tag.trim(), weight))
    });
    let mut weighed: Vec<(&str, f32)> = weighed.collect();
    weighed.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    weighed.into_iter().map(|(tag, _)| tag).collect()
}

/// With what `{}` stands for.
pub(super) fn filled(words: &str, with: &str) -> String {
    words.replacen("{}", with, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contacts_language_goes_before_the_browsers_and_english_is_last() {
        let of = |contact, accepted| of(contact, accepted).language;
        for (contact, accepted, language) in [
            (None, "", "en"),
            (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
            (None, "en;q=0.5, FR;q=0.7", "fr"),
            (None, "pl, es;q=0.4", "es"),
            (None, "de;q=0, it", "it"),
            (None, "*;q=x, ,;,nl", "nl"),
            (Some("it"), "de", "it"),
            (Some("pt-BR"), "de", "de"),
            (Some("pl"), "ru", "en"),
        ] {
            assert_eq!(of(contact, accepted), language, "{contact:?} {accepted}");
        }
    }

    #[test]
    fn names_stand_in_every_language_where_they_stand_in_english() {
        for words in ALL {
            let with = [
                words.check,
                words.please_confirm,
                words.somebody,
                words.gets_this,
                words.mail_to,
                words.sent_to,
            ];
            assert!(with.iter().all(|text| text.matches("{}").count() == 1), "{}", words.language);
            assert_eq!(filled(words.gets_this, "a@b{}").matches("a@b{}").count(), 1);
        }
    }
}
