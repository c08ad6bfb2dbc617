"""Each language has all the words; .ci/run sees that no message lacks a translation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import translation

from accounts.api.contracts import LANGUAGES
from tests.documents import ROOT

WIRE = {
    "es": (
        "Token no proporcionado o inválido",
        "El token ha expirado",
        "Alcance desconocido",
        "Error interno del servidor",
        "Sesión cerrada exitosamente",
        "El token ha sido invalidado",
        "Sesión cerrada en todos los dispositivos",
        "Demasiadas solicitudes, inténtelo más tarde",
    ),
    "en": (
        "Token not provided or invalid",
        "Token has expired",
        "Unknown scope",
        "Internal server error",
        "Logout successful",
        "Token has been invalidated",
        "Logged out from all devices",
        "Too many requests",
    ),
    "de": (
        "Token fehlt oder ist ungültig",
        "Das Token ist abgelaufen",
        "Unbekannter Geltungsbereich",
        "Interner Serverfehler",
        "Erfolgreich abgemeldet",
        "Das Token wurde für ungültig erklärt",
        "Auf allen Geräten abgemeldet",
        "Zu viele Anfragen, versuchen Sie es später erneut",
    ),
    "fr": (
        "Jeton absent ou non valide",
        "Le jeton a expiré",
        "Portée inconnue",
        "Erreur interne du serveur",
        "Déconnexion réussie",
        "Le jeton a été invalidé",
        "Déconnexion de tous les appareils réussie",
        "Trop de requêtes, réessayez plus tard",
    ),
    "it": (
        "Token assente o non valido",
        "Il token è scaduto",
        "Ambito sconosciuto",
        "Errore interno del server",
        "Disconnessione riuscita",
        "Il token è stato invalidato",
        "Disconnessione da tutti i dispositivi riuscita",
        "Troppe richieste, riprova più tardi",
    ),
    "pt": (
        "Token não fornecido ou inválido",
        "O token expirou",
        "Âmbito desconhecido",
        "Erro interno do servidor",
        "Sessão encerrada com sucesso",
        "O token foi invalidado",
        "Sessão encerrada em todos os dispositivos",
        "Demasiados pedidos, tente novamente mais tarde",
    ),
}


def database_down(execute, sql, *args):
    raise OperationalError("the database is down")


def test_every_language_has_a_catalogue_and_every_catalogue_is_spoken():
    catalogues = {path.parts[-3] for path in ROOT.glob("accounts/locale/*/LC_MESSAGES/django.mo")}

    assert catalogues == set(LANGUAGES) == {code for code, _ in project.LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_answers_a_logout_in_its_own_words(language, phone, laptop, settings):
    web = Client(headers={"Accept-Language": language}, raise_request_exception=False)
    old = phone.refresh.access_token
    old.set_exp(lifetime=-timedelta(seconds=1))

    def say(route, body=None, access=None):
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        answer = web.post(route, body or {}, content_type="application/json", headers=headers)
        assert answer.headers["Content-Language"] == language
        return answer.json().get("message") or answer.json()["msg"]

    said = [
        say("/logout"),
        say("/logout", access=old),
        say("/logout", {"scope": "planet"}, phone.access),
    ]
    with connection.execute_wrapper(database_down):
        said.append(say("/logout", access=phone.access))
    said.append(say("/logout", access=phone.access))
    said.append(say("/reauthenticate", access=phone.access))
    said.append(say("/logout/all", access=laptop.access))
    settings.ACCOUNTS = {"LOGOUT_RATE": "1/5m"}
    said.append([say("/logout") for _ in range(2)][-1])

    assert tuple(said) == WIRE[language]


@pytest.mark.parametrize(
    ("header", "title"),
    [
        ("es-MX", "Sus dispositivos"),
        ("en-GB", "Your devices"),
        ("de-AT", "Ihre Geräte"),
        ("fr-CA", "Vos appareils"),
        ("it-CH", "I tuoi dispositivi"),
        ("pt-BR", "Os seus dispositivos"),
    ],
)
def test_a_page_speaks_the_language_of_the_browser(client, user, header, title):
    client.force_login(user)

    page = client.get("/account/sessions", headers={"Accept-Language": header})

    assert page.headers["Content-Language"] == header[:2]
    assert f"<h1>{title}</h1>" in page.content.decode()


@pytest.mark.parametrize(
    ("header", "title"),
    [
        ("es-MX", "Sesiones activas"),
        ("en-GB", "Live logins"),
        ("de-AT", "Aktive Sitzungen"),
        ("fr-CA", "Sessions actives"),
        ("it-CH", "Sessioni attive"),
        ("pt-BR", "Sessões ativas"),
    ],
)
def test_an_admin_page_speaks_the_language_of_the_browser(admin_client, header, title):
    page = admin_client.get("/admin/drf_logout/session/", headers={"Accept-Language": header})

    assert f"<h1>{title}</h1>" in page.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "Se sellaron 0 registros."),
        ("en", "Sealed 0 entries."),
        ("de", "0 Einträge versiegelt."),
        ("fr", "0 entrée scellée."),
        ("it", "Sigillate 0 voci."),
        ("pt", "Foram seladas 0 entradas."),
    ],
)
def test_a_command_speaks_the_language_and_counts_as_it_does(capsys, language, text):
    with translation.override(language):
        call_command("seal_audit")

    assert text in capsys.readouterr().out
