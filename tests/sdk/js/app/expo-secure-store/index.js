// Stands for the package of the same name, which needs a phone.
export const stored = [];
export const getItemAsync = async () => stored.at(-1) ?? null;
export const setItemAsync = async (_, value) => void stored.push(value);
export const deleteItemAsync = async () => void stored.push(null);
