"""Story: five locked steps on a frozen snapshot, for a stakeholder."""
