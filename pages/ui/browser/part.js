// One part of a map: bytes that begin with the length of a head (4 bytes) and the head (JSON).

export default function ({ data, parentElement }) {
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  const room = roomOf(head.room);
  if (room.parts.get(head.role)?.key !== head.key) {
    const bytes = data.slice(4 + length); // a copy, so that it begins where numbers may begin
    room.parts.set(head.role, { key: head.key, bytes, owner: parentElement });
    room.changed();
  }
  return () => setTimeout(() => leave(room, head.role, parentElement));
}

// Streamlit also calls this when newer data has overtaken a call; then nothing has left.
function leave(room, role, owner) {
  if (!owner.isConnected && room.parts.get(role)?.owner === owner) room.parts.delete(role);
}
