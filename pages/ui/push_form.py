"""Sending an export to a hub: nothing leaves without a name, a tick and a click."""

from pathlib import Path

import streamlit as st

from core.errors import SFTLensError
from pages.ui import data_export, rights
from pages.ui.prose import command, sentence


def push(folder: Path | None) -> None:
    """A form that sends the files just made to the Hugging Face hub, private unless told."""
    with st.expander("Send to the Hugging Face hub", icon=":material/cloud_upload:"):
        reason = rights.why_not("push")
        if reason or folder is None:
            st.caption(reason or "Make the files first. Nothing is sent by that.")
            return
        st.caption("Needs a login on this machine: `hf auth login`, or HF_TOKEN.")
        repo = st.text_input("Dataset", key="export_repo", placeholder="owner/name")
        public = st.checkbox("Public: everybody can see it", key="export_public")
        mine = st.checkbox("These samples may be sent there", key="export_may")
        ready = bool(repo.strip()) and mine
        if st.button("Send", key="export_push", icon=":material/send:", disabled=not ready):
            _send(folder, repo.strip(), not public)


def _send(folder: Path, repo: str, private: bool) -> None:
    try:
        with st.spinner("Sending…"):
            url = data_export.push(folder, repo, private)
    except SFTLensError as error:
        st.error(sentence(error), icon=":material/error:")
        return
    st.success("Sent.", icon=":material/check_circle:")
    st.code(url, language=None, wrap_lines=True)
    seen = [] if private else ["--public"]
    again = command("sftlens", "push", str(folder), repo, *seen, "--yes")
    st.code(again, language="bash", wrap_lines=True)
