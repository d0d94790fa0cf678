export declare function getItemAsync(key: string): Promise<string | null>;
export declare function setItemAsync(key: string, value: string): Promise<void>;
export declare function deleteItemAsync(key: string): Promise<void>;
