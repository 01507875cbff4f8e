// A room is what the parts of one map share in this browser tab: bytes that came once, texts that
// were asked for, and where the person has moved to. Each part is a Streamlit element of its own,
// so that only what has changed is sent again; this is where they meet.

function roomOf(name) {
  const rooms = (globalThis[Symbol.for("sftlens.maps")] ??= new Map());
  if (!rooms.has(name)) {
    const nobody = () => {};
    rooms.set(name, {
      parts: new Map(), texts: new Map(), ask: nobody, changed: nobody, answered: nobody,
    });
  }
  return rooms.get(name);
}
