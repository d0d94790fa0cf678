// Stands for the package of the same name, which needs a phone.
export const stored = [];
const items = new Map();
export const getItemAsync = async (name) => items.get(name) ?? null;
export const setItemAsync = async (name, value) => void (items.set(name, value), stored.push(value));
export const deleteItemAsync = async (name) => void (items.delete(name), stored.push(null));
